"""A model named on the command line: path/to/file.py:make_model, package.module:factory, or a
dotted path to a class."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from cyclopts import Parameter

from depthscale.cli.hf_models import HF, random_model
from depthscale.errors import DepthscaleError, InvalidProbe

Model = Annotated[
    str,
    Parameter(
        help="file.py:function, package.module:function, or a dotted path to a class, which is "
        "looked for in the current folder, too, and run; or hf:gpt2, hf:config.json: a model type "
        "of transformers with random weights"
    ),
]
Inputs = Annotated[
    list[str] | None,
    Parameter(help="a tensor: float32[32,3,224,224], int64[2,256]<50257", negative=""),
]
Keywords = Annotated[
    list[str] | None, Parameter(help="one by keyword: input_ids=int64[2,256]<50257", negative="")
]
OutputLoss = Annotated[
    str, Parameter(help="independent, shared, or file.py:function of the output")
]
Repeats = Annotated[
    int,
    Parameter(
        help="of a function, networks drawn; of a model that is there already, cotangents; from 3 "
        "on, verdicts have standard errors"
    ),
]
Mode = Annotated[str | None, Parameter(help="train or eval [default: as the function returns it]")]
Part = Annotated[str | None, Parameter(help="part of the output to differentiate, as logits")]


def named(target: str) -> Any:
    """The object of that name. / raises: InvalidProbe where the file, the module or the name is not
    there, or does not load."""
    place, colon, name = target.rpartition(":")
    if not colon:
        place, _, name = target.rpartition(".")
        if target.endswith(".py") or not place:
            raise InvalidProbe(
                f"{target!r} names no factory; write file.py:function, package.module:function or "
                "a dotted class path"
            )
    module = _loaded(place, target)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise InvalidProbe(_missing(target, place, part, found))
        found = getattr(found, part)
    return found


def factory(target: str) -> Any:
    """What makes the model of that name: a function or class without arguments; a module that is
    there already.

    raises: InvalidProbe for what cannot be called, and for what needs arguments.
    """
    from torch import nn

    found = random_model(target) if target.startswith(HF) else named(target)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise InvalidProbe(
            f"{target} is a {type(found).__name__}; name a function or class that makes a "
            "torch.nn.Module"
        )

    def make() -> Any:
        try:
            return found()
        except TypeError as wrong:
            if "argument" in str(wrong):
                raise InvalidProbe(
                    f"{target}() cannot be called without arguments ({wrong}); wrap it in a "
                    "function that gives them"
                ) from None
            raise

    return make


@contextmanager
def calling(model: str) -> Iterator[None]:
    """While a model of that name runs: what it raises becomes one line, and what it prints stays
    out of a record.

    raises: InvalidProbe.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except DepthscaleError:
        raise
    except Exception as wrong:
        where = "".join(f" ({note})" for note in getattr(wrong, "__notes__", ()))
        raise InvalidProbe(f"{model} raised {type(wrong).__name__}: {wrong}{where}") from None


def probed(
    model: str, input: list[str] | None, kw: list[str] | None, seed: int, **asked: Any
) -> Any:
    """The run of a probe, as `calling`. / input, kw: as on the command line; loss: or a name."""
    from depthscale._probe import probe
    from depthscale.cli.tensors import arguments

    make, given = factory(model), arguments(input or [], kw or [], seed)
    loss = asked.pop("loss")
    with calling(model):
        return probe(make, given, loss=named(loss) if ":" in loss else loss, seed=seed, **asked)


def _loaded(place: str, target: str) -> ModuleType:
    try:
        with redirect_stdout(sys.stderr):
            if place.endswith(".py"):
                return _from_file(Path(place))
            if str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))
            return importlib.import_module(place)
    except InvalidProbe:
        raise
    except Exception as wrong:
        raise InvalidProbe(
            f"cannot load {place} for {target}: {type(wrong).__name__}: {wrong}"
        ) from None


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InvalidProbe(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _missing(target: str, place: str, part: str, found: Any) -> str:
    here = getattr(found, "__name__", "")
    own = [
        name
        for name, value in vars(found).items()
        if callable(value) and getattr(value, "__module__", here) == here
    ]
    near = get_close_matches(part, own, 3) or own[:5]
    there = f"; there is {', '.join(near)}" if near else ""
    return f"{place} has no {part!r} (asked for as {target}){there}"
