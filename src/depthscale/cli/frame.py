"""The command line's frame: argv -> one public function each. Torch is loaded only by commands that
measure."""

import ast
import os
import re
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, Token, convert

from depthscale.controls import disarm
from depthscale.errors import DepthscaleError


def _strictly(type_: Any, tokens: Sequence[Token]) -> Any:
    """As cyclopts converts, but a whole number is never rounded from one that is not."""
    whole = type_ is int or type_ in (int | None, tuple[int, ...] | None)
    for token in tokens if whole else ():
        if not re.fullmatch(r"[+-]?\d+", token.value):
            raise ValueError(f"{token.value!r} is not a whole number")
    if type_ == int | float:
        return (
            int(tokens[0].value)
            if re.fullmatch(r"[+-]?\d+", tokens[0].value)
            else float(tokens[0].value)
        )
    return convert(type_, tokens)


app = App(
    name="depthscale",
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(converter=_strictly, consume_multiple=True, negative_iterable=""),
    help="Whether signal and gradient survive a network's depth, and what theory says of it.",
    help_format="plaintext",
)

app.register_install_completion_command()  # depthscale --install-completion

Json = Annotated[
    Path | None,
    Parameter(help="write the record as JSON; - for standard output", allow_leading_hyphen=True),
]
Save = Annotated[Path | None, Parameter(help="write the whole run, sketches included")]
Html = Annotated[
    Path | None, Parameter(help="write one HTML page with charts, which opens without a network")
]
Seeds = Annotated[int, Parameter(help="how many random networks")]
BackendName = Annotated[str, Parameter(help="local, or ray for a Ray cluster")]
Address = Annotated[str | None, Parameter(help="of a Ray cluster [default: one on this machine]")]
Workers = Annotated[int | None, Parameter(help="processes [default: one a core]")]
Seed = Annotated[int, Parameter(help="number of the first one")]
Loss = Annotated[
    str,
    Parameter(
        help="independent: a cotangent for every sample; shared: one for all, E = sum of w.x"
    ),
]


def offer(parent: App, file: str, name: str) -> None:
    """Make the function, or the App, of that name in a file here a command, which is imported when
    it is called; its help is the docstring of the function, or of the file."""
    tree = ast.parse(Path(__file__).with_name(f"{file}.py").read_text(encoding="utf-8"))
    own = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == name]
    about = ast.get_docstring(own[0] if own else tree) or ""
    paragraphs = [" ".join(each.split()) for each in about.split("\n\n")]
    parent.command(
        f"depthscale.cli.{file}:{name}", name=name.replace("_", "-"), help="\n\n".join(paragraphs)
    )


def main(argv: list[str] | None = None) -> None:
    """Run one command. / exit status: 0 done, 2 wrong use, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "±" gets "?"
    try:
        app(argv, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (CycloptsError, DepthscaleError) as wrong:
        _stop(f"depthscale: {_one_line(wrong)}", 2)
    except KeyboardInterrupt:
        _stop("depthscale: interrupted; nothing was left half-written", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
        _stop("", 0)
    except OSError as refused:
        _stop(f"depthscale: cannot write the output: {refused.strerror}", 2)


def _one_line(wrong: Exception) -> str:
    return " ".join(str(wrong).split())


def _stop(message: str, status: int) -> None:
    if message:
        sys.stderr.write(f"{disarm(message)}\n")
    sys.exit(status)
