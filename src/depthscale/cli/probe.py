"""depthscale probe."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from depthscale.cli.frame import Html, Json, Save, Seed
from depthscale.cli.models import Inputs, Keywords, Mode, Model, OutputLoss, Part, Repeats, probed
from depthscale.cli.output import check, console, put

if TYPE_CHECKING:
    from depthscale._diagnose import Diagnosis
    from depthscale.run import Run


def probe(
    model: Model,
    /,
    *,
    input: Inputs = None,
    kw: Keywords = None,
    loss: OutputLoss = "independent",
    mode: Mode = None,
    repeats: Repeats = 1,
    params: Annotated[
        bool, Parameter(help="parameters and their gradients, too", negative="")
    ] = False,
    output: Part = None,
    verify: Annotated[
        bool, Parameter(help="run the model plainly, too, and compare bit by bit", negative="")
    ] = False,
    whole: Annotated[
        bool,
        Parameter(name="--all", help="list every operation instead of the blocks", negative=""),
    ] = False,
    inside: Annotated[
        str | None, Parameter(help="list the operations of the block or module of this name")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        Parameter(help="rule, beginning of one, or severity that gives exit status 1", negative=""),
    ] = None,
    seed: Seed = 0,
    save: Save = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """Run your model once and say which operation makes its gradient grow or shrink, and whether
    that is a problem.

    The function makes a torch.nn.Module, or a pair of one and its inputs. The model is never
    changed.
    """
    from depthscale._report import require_known

    check(json, html, save)
    require_known(tuple(fail_on or ()))
    asked = {"loss": loss, "mode": mode, "repeats": repeats, "output": output}
    trace = probed(model, input, kw, seed, params=params, verify=verify, **asked)
    found = told(trace, whole, inside, quiet=str(json) == "-")
    written(trace, save, json, html)
    if fail_on and found.matching(tuple(fail_on)):
        sys.stdout.flush()
        sys.exit(1)


def told(trace: "Run", whole: bool, inside: str | None, quiet: bool) -> "Diagnosis":
    """What is wrong with it; printed unless standard output takes the record."""
    from depthscale._diagnose import diagnose
    from depthscale._report import probe_view

    found, terminal = diagnose(trace), console()
    unicode = terminal.encoding.startswith("utf")
    if not quiet:
        width = min(terminal.width, 120)
        shown = {"whole": whole, "inside": inside, "width": width, "unicode": unicode}
        for line in [*probe_view(trace, found, **shown)]:  # a wrong name is said before all else
            terminal.print(line, soft_wrap=isinstance(line, str))
    return found


def written(trace: "Run", save: Path | None, json: Path | None, html: Path | None) -> None:
    from depthscale import store
    from depthscale._report import report

    if save is not None:
        store.save(trace, save)
    if json is not None:
        put(store.dumps(store.record(trace)), json)
    if html is not None:
        report(trace, html)
