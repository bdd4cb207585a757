"""depthscale explain batchnorm."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Group
from rich.text import Text

from depthscale import files
from depthscale.cli.frame import Json
from depthscale.cli.output import check, deliver
from depthscale.errors import InvalidInput

Page = Annotated[
    Path | None,
    Parameter(help="write a page that steps through it, for a browser, whole without a network"),
]
_Affine = Annotated[
    str,
    Parameter(help="a number for all neurons, or one for each: 1,0.5,2", allow_leading_hyphen=True),
]


def batchnorm(
    *,
    input: Annotated[
        Path | None,
        Parameter(help="a .npy file of real numbers (N, D), (N, C, L), ... [default: random]"),
    ] = None,
    dout: Annotated[
        Path | None,
        Parameter(help="a .npy file of dE/d out, shaped as the input [default: random]"),
    ] = None,
    gamma: _Affine = "1.5",
    beta: _Affine = "0.5",
    eps: Annotated[float, Parameter(help="added to the variance")] = 1e-5,
    neuron: Annotated[int, Parameter(help="whose numbers to show, from 0")] = 0,
    batch: Annotated[int | None, Parameter(help="samples of a random input [default: 4]")] = None,
    width: Annotated[int | None, Parameter(help="neurons of a random input [default: 3]")] = None,
    seed: Annotated[int, Parameter(help="of what is random")] = 0,
    html: Page = None,
    json: Json = None,
) -> None:
    """Batch Norm's backward pass, node by node: from the gradient of its output to dx, dgamma and
    dbeta.

    The circuit with its values and gradients, every node's local gradient, and the numbers of one
    neuron.
    """
    from depthscale._explain import explain_batchnorm
    from depthscale._report import walk_lines

    if input is not None and (batch, width) != (None, None):
        raise InvalidInput(
            "--batch and --width are of a random input; leave them out beside --input"
        )
    check(json, html)
    walk = explain_batchnorm(
        _read(input) if input is not None else _random(batch, width, seed),
        _read(dout),
        gamma=_numbers(gamma, "gamma"),
        beta=_numbers(beta, "beta"),
        eps=eps,
        neuron=neuron,
        seed=seed,
    )
    deliver(walk, "explain batchnorm", Group(*map(_line, walk_lines(walk))), json, html)


def _read(path: Path | None) -> Any:
    return None if path is None else files.read_array(path)


def _random(batch: int | None, width: int | None, seed: int) -> Any:
    from depthscale._explain import random_input

    return random_input(4 if batch is None else batch, 3 if width is None else width, seed)


def _line(line: str) -> Text:
    """In one line of the terminal, however narrow."""
    from depthscale._report import Heading

    style = "bold" if isinstance(line, Heading) else ""
    return Text(line, style=style, no_wrap=True, overflow="ignore")


def _numbers(given: str, name: str) -> tuple[float, ...]:
    try:
        return tuple(float(each) for each in given.split(","))
    except ValueError:
        raise InvalidInput(
            f"--{name} takes a number, or one for each neuron with commas between, got {given!r}"
        ) from None
