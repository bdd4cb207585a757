"""The doors of the report: a record as one HTML page, as one altair chart, in a notebook.

A kind of record is a row of VIEWS; a new kind of page is its file and its row.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from depthscale import files
from depthscale._diagnose import Diagnosis
from depthscale._explain import Argument, BatchnormWalk, Explanation, Matter, Normalizers
from depthscale._report import notebook as cells
from depthscale._report.article.article import article
from depthscale._report.chart import record_charts as charts
from depthscale._report.chart.steps_chart import steps_chart
from depthscale._report.chart.study_chart import study_chart
from depthscale._report.chart.sweep_chart import sweep_map_chart
from depthscale._report.chart.theme import Chart
from depthscale._report.chart.timeline_charts import timeline_chart
from depthscale._report.pages.argument_page import argument_page
from depthscale._report.pages.comparison_page import comparison_page
from depthscale._report.pages.explanation_page import explained_page
from depthscale._report.pages.matter_page import matter_page
from depthscale._report.pages.normalizers_page import normalizers_page
from depthscale._report.pages.profile_page import profile_page
from depthscale._report.pages.recording_page import recording_page, timeline_page
from depthscale._report.pages.steps_page import steps_page
from depthscale._report.pages.study_page import study_page
from depthscale._report.pages.sweep_page import sweep_map_page, sweep_page
from depthscale._report.pages.trace_page import trace_page
from depthscale._report.pages.traces_page import traces_page
from depthscale._report.pages.walk_page import walk_page
from depthscale.errors import InvalidInput, NoPicture
from depthscale.experiments import Founding, story, theory_beside
from depthscale.measure import Comparison, FirstSteps, Growth, Ledger, run_names
from depthscale.monitor import Recording, Timeline
from depthscale.run import Blocks, Run
from depthscale.sketch import Sketch
from depthscale.sweeps import Study, Sweep, SweepMap


@dataclass(frozen=True)
class View:
    """How a kind of record is drawn; None where it has no such picture.

    Args:
        page: one HTML page.
        chart: one altair chart.
        cell: markup for a notebook.
    """

    page: Callable[[Any], str] | None = None
    chart: Callable[[Any], Chart] | None = None
    cell: Callable[[Any], str] | None = None


def _beside_theory(draw: Callable[[Run, Run | None], Any]) -> Callable[[Run], Any]:
    return lambda profile: draw(profile, theory_beside(profile))


def _of(described: Callable[[Run], Any], ran: Callable[[Run], Any]) -> Callable[[Run], Any]:
    """A run by the layers of its description, or by the operations that ran."""
    return lambda run: (described if run.graph.is_described else ran)(run)


VIEWS: Mapping[type, View] = {
    Run: View(
        _of(_beside_theory(profile_page), trace_page),
        _of(_beside_theory(charts.profile_chart), charts.trace_chart),
        _of(_beside_theory(cells.profile_html), cells.trace_html),
    ),
    Sketch: View(chart=charts.sketch_chart, cell=cells.sketch_html),
    Founding: View(lambda found: article(found, story(found))),
    Argument: View(argument_page),
    Explanation: View(explained_page),
    Normalizers: View(normalizers_page),
    Matter: View(matter_page),
    BatchnormWalk: View(walk_page),
    Recording: View(recording_page, cell=cells.recording_html),
    Timeline: View(timeline_page, timeline_chart, cells.timeline_html),
    Comparison: View(cell=cells.comparison_html),
    Blocks: View(chart=charts.blocks_chart, cell=cells.blocks_html),
    Growth: View(cell=cells.growth_html),
    Ledger: View(chart=charts.ledger_chart, cell=cells.ledger_html),
    FirstSteps: View(steps_page, steps_chart, cells.steps_html),
    Diagnosis: View(cell=cells.diagnosis_html),
    Study: View(study_page, study_chart, cells.study_html),
    Sweep: View(sweep_page, cell=cells.sweep_html),
    SweepMap: View(sweep_map_page, sweep_map_chart, cells.sweep_map_html),
}
# several runs
_DESCRIBED = View(comparison_page, charts.profiles_chart)
_RAN = View(traces_page, charts.traces_chart)

Reported = (
    Run
    | Comparison
    | Mapping[str, Run]
    | Iterable[Run]
    | Founding
    | Argument
    | Matter
    | Normalizers
    | Explanation
    | BatchnormWalk
    | Study
    | Recording
    | Timeline
    | Sweep
    | SweepMap
    | FirstSteps
)


def report(what: Reported, path: str | Path) -> None:
    """Write one HTML page that needs nothing from outside, whole or not at all.

    Args:
        what: A Run (a simulated one is shown with its prediction); what `compare` returned, or
            two or more runs, in a list or by name; the founding experiment, which becomes an
            article; or what `explain` found: the growth argument (also at the norms of a model),
            Batch Norm's backward pass, the normalizers, or whether it matters; what `first_steps`
            found; or a monitor's recording or timeline.
        path: The page's file.

    Raises:
        UnwritablePath: The page cannot be written there.
        NoPicture: For anything else.
    """
    path = Path(path)
    files.check_file(path)
    files.write(path, to_html(what))


def to_html(what: Reported) -> str:
    """The page's HTML."""
    if draw := VIEWS.get(type(what), View()).page:
        return draw(what)
    view, records = _several(what)
    if len(records) < 2:
        raise NoPicture(f"a comparison takes two or more, got {len(records)}; give one by itself")
    assert view.page
    return view.page(records)


def chart(what: Any, x: Literal["operation", "block"] | None = None) -> Chart:
    """An altair chart to restyle.

    Args:
        what: A Run, several (as `report` takes them), what `Run.blocks` or `ledger` returned, first
            steps, or a Sketch.
        x: Of a Run that ran, what stands along the axis: "block" or "operation".

    Raises:
        NoPicture: For anything else.

    Example:
        >>> import depthscale as ds
        >>> run = ds.predict(ds.NetSpec(depth=4, width=8, norm="batch", batch=64))
        >>> picture = ds.chart(run, x="block").properties(width=300)
    """
    if x not in (None, "operation", "block"):
        raise InvalidInput(f"x is 'operation' or 'block', got {x!r}")
    if x == "block":
        if not isinstance(what, Run):
            raise NoPicture(f"x='block' goes with a Run, got {type(what).__name__}")
        return charts.blocks_chart(what.blocks())
    if draw := VIEWS.get(type(what), View()).chart:
        return draw(what)
    view, records = _several(what)
    assert view.chart
    return view.chart(records)


def notebook(record: Any) -> str:
    """What a notebook shows of a record."""
    draw = VIEWS[type(record)].cell
    assert draw
    return draw(record)


def _several(what: Any) -> tuple[View, dict[str, Any]]:
    """How several runs are drawn, and each by its name."""
    what = what.runs if isinstance(what, Comparison) else what
    records = _listed(what)
    kinds = {type(record) for record in records}
    if kinds != {Run}:
        raise NoPicture(
            "give a Run, what compare returned, or several runs, in a list or by name; got "
            f"{type(what).__name__}"
            + (f" of {', '.join(sorted(kind.__name__ for kind in kinds))}" if kinds else "")
        )
    view = _DESCRIBED if all(run.graph.is_described for run in records) else _RAN
    if isinstance(what, Mapping):
        return view, dict(zip(map(str, what), records, strict=True))
    return view, run_names(records)


def _listed(what: Any) -> list[Any]:
    match what:
        case Mapping():
            return list(what.values())
        case list() | tuple():
            return list(what)
    return []
