"""Every verb that takes a run, and what each may answer: a result, or a refusal of depthscale's
own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import depthscale as ds
from depthscale import store
from depthscale._report import probe_view, to_html
from depthscale.run import Run


def _seen(run: Run) -> None:
    if not run.graph.is_described:
        list(probe_view(run, ds.diagnose(run), whole=True, width=100, unicode=True))


VERBS: dict[str, Callable[[Run], Any]] = {
    "repr": repr,
    "diagnose": lambda run: str(ds.diagnose(run)),
    "ledger": lambda run: repr(ds.ledger(run)),
    "growth": lambda run: repr(ds.growth(run)),
    "activation growth": lambda run: repr(ds.growth(run, of="activation")),
    "predict": lambda run: repr(ds.predict(run)),
    "explain": lambda run: ds.explain(run).record(),
    "compare": lambda run: repr(ds.compare(run, run)),
    "record": lambda run: store.dumps(store.record(run)),
    "terminal": _seen,
    "pandas": lambda run: run.to_pandas(),
}
DRAWN: dict[str, Callable[[Run], Any]] = {
    "report": to_html,
    "chart": lambda run: ds.chart(run).to_json(validate=False),
    "notebook": lambda run: run._repr_html_(),
    "report of two": lambda run: to_html([run, run]),
}


def failures(run: Run, verbs: dict[str, Callable[[Run], Any]]) -> list[str]:
    """Which verbs end in anything but an answer or a refusal."""
    found = []
    for name, verb in verbs.items():
        try:
            verb(run)
        except ds.DepthscaleError:
            continue
        except Exception as wrong:
            found.append(f"{name}: {where(wrong)}")
    return found


def saved_again(run: Run, folder: Path) -> bool:
    """Whether a run saved, loaded and saved again gives the same file."""
    first, second = folder / "first.json", folder / "second.json"
    ds.save(run, first)
    ds.save(ds.load(first), second)
    return first.read_bytes() == second.read_bytes()


def where(wrong: BaseException) -> str:
    """An error in a line, with the innermost place in the package that it went through."""
    place, trace = "", wrong.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if "depthscale" in path.parts:
            place = f"{path.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    words = str(wrong).strip().split("\n")[0][:150]
    return f"{type(wrong).__name__}: {words} ({place})"
