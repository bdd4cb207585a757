"""A model's tree of modules, walked once: every module, parameter and buffer by its first path,
without the names of wrappers."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice

import torch
from torch import Tensor, nn

from depthscale.network import Submodule

# of modules that stand in several places, whose number may double with every level
_MOST_PLACES = 10_000
_LONGEST = 1000  # of a structure's word


@dataclass
class Tree:
    """In the order of named_modules, named_parameters and named_buffers. / structures: of each
    module by identity;
    places: modules as they stand, one in several places several times."""

    modules: list[tuple[str, nn.Module]] = field(default_factory=list)
    parameters: list[tuple[str, nn.Parameter]] = field(default_factory=list)
    buffers: list[tuple[str, Tensor]] = field(default_factory=list)
    structures: dict[int, str] = field(default_factory=dict)
    places: list[tuple[str, nn.Module]] = field(default_factory=list)

    @property
    def tensors(self) -> list[tuple[str, Tensor]]:
        return [*self.parameters, *self.buffers]

    @property
    def device(self) -> torch.device:
        """Of the first parameter or buffer."""
        return next((t.device for _, t in self.tensors), torch.device("cpu"))

    @property
    def mode(self) -> str:
        """As a word: train, eval or mixed."""
        modes = {module.training for _, module in self.modules}
        return "mixed" if len(modes) > 1 else "train" if modes.pop() else "eval"

    def notes(self) -> tuple[Submodule, ...]:
        """Class, structure and mode of every module at every place where it stands, the model's own
        left out."""
        return tuple(
            Submodule(path, type(module).__name__, self.structures[id(module)], module.training)
            for path, module in self.places
            if path
        )

    def digest(self) -> str:
        """Twelve hexadecimal digits that models with the same modules and the same parameters'
        shapes share, whatever their values."""
        lines = [f"{path} {type(module).__name__}" for path, module in self.modules]
        lines += [f"{name} {tuple(each.shape)}" for name, each in self.parameters]
        return sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()[:12]


def walked(model: nn.Module, path: str = "") -> Tree:
    """The tree below a model, or below a module that stands at some path."""
    tree, seen = Tree(), set[int]()
    _walk(model, path, tree, seen)
    tree.places += _places(model)
    return tree


def _walk(module: nn.Module, path: str, tree: Tree, seen: set[int]) -> None:
    """Add a module and all below it. / seen: identities of what is in the tree."""
    seen.add(id(module))
    tree.modules.append((path, module))
    _take(module._parameters.items(), path, tree.parameters, seen)
    _take(module._buffers.items(), path, tree.buffers, seen)
    inside = []
    for name, child in module._modules.items():
        if child is None:
            continue
        if id(child) not in seen:
            _walk(child, path if _is_wrappers(name, module) else _below(path, name), tree, seen)
        inside.append(f"{name}:{tree.structures.get(id(child), type(child).__name__)}")
    kind, word = type(module).__name__, ",".join(inside)
    word = word if len(word) < _LONGEST else sha256(word.encode(errors="surrogatepass")).hexdigest()
    tree.structures[id(module)] = f"{kind}({word})" if inside else kind


def below(module: nn.Module) -> dict[int, list[str]]:
    """Paths, from a module on, of all modules in it, by identity: several for one that stands in
    several places."""
    found: dict[int, list[str]] = defaultdict(list)
    for path, inner in _places(module):
        if path:
            found[id(inner)].append(path)
    return found


def _places(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return islice(_every_place(module, "", ()), _MOST_PLACES)


def _every_place(
    module: nn.Module, path: str, above: tuple[int, ...]
) -> Iterator[tuple[str, nn.Module]]:
    yield path, module
    above = (*above, id(module))
    for name, child in module._modules.items():
        if child is not None and id(child) not in above:
            yield from _every_place(
                child, path if _is_wrappers(name, module) else _below(path, name), above
            )


def _take(
    named: Iterable[tuple[str, Tensor | None]], path: str, into: list, seen: set[int]
) -> None:
    for name, tensor in named:
        if tensor is not None and id(tensor) not in seen:
            seen.add(id(tensor))
            into.append((_below(path, name), tensor))


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_wrappers(name: str, module: nn.Module) -> bool:
    """Whether a child's name is one that torch.compile or DataParallel added."""
    return name == "_orig_mod" or (
        name == "module"
        and isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
    )
