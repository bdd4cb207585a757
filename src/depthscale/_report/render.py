"""report: a record as one HTML page; chart: a record as one altair chart to restyle."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from depthscale import files
from depthscale._diagnose import diagnose
from depthscale._explain.batchnorm import BatchnormWalk
from depthscale._explain.growth import Argument
from depthscale._explain.matter import Matter
from depthscale._explain.normalizers import Normalizers
from depthscale._explain.trace import Explanation
from depthscale._report.article.article import article
from depthscale._report.chart.along_depth import Series, along_depth
from depthscale._report.chart.magnitudes import ridgeline
from depthscale._report.chart.theme import NETWORK_COLOURS, Chart, house
from depthscale._report.chart.trace_charts import depth_chart
from depthscale._report.pages.argument_page import argument_page
from depthscale._report.pages.comparison_page import comparison_page, names
from depthscale._report.pages.explanation_page import explained_page
from depthscale._report.pages.matter_page import matter_page
from depthscale._report.pages.normalizers_page import normalizers_page
from depthscale._report.pages.profile_page import depth_series, profile_page
from depthscale._report.pages.trace_page import trace_page
from depthscale._report.pages.traces_page import places, trace_names, traces_chart, traces_page
from depthscale._report.pages.walk_page import walk_page
from depthscale.errors import DepthscaleError, NoPicture
from depthscale.experiments import Founding
from depthscale.measure import Comparisons, TraceComparison
from depthscale.network import NetSpec
from depthscale.run import Profile, Trace
from depthscale.sketch import Sketch
from depthscale.theory import predict

Reported = (
    Profile
    | Trace
    | Comparisons
    | TraceComparison
    | Mapping[str, Profile | Trace]
    | Iterable[Profile | Trace]
    | Founding
    | Argument
    | Matter
    | Normalizers
    | Explanation
    | BatchnormWalk
)


def report(what: Reported, path: str | Path) -> None:
    """Write one HTML page that needs nothing from outside, whole or not at all.

    what: a Profile (a simulated one is shown with its prediction); a Trace; what `compare`
    returned, or two or more profiles, or traces, in a list or by name; the founding experiment,
    which becomes an article; or what `explain` found: the growth argument (also at the norms of a
    model), Batch Norm's backward pass, the normalizers, or whether it matters.
    raises: UnwritablePath; NoPicture for anything else.
    """
    path = Path(path)
    files.check_file(path)
    files.write(path, page(what))


def page(what: Reported) -> str:
    """The page's HTML."""
    match what:
        case Founding():
            return article(what)
        case Profile():
            return profile_page(what, theory_of(what))
        case Trace():
            return trace_page(what)
        case Argument():
            return argument_page(what)
        case Matter():
            return matter_page(what)
        case Normalizers():
            return normalizers_page(what)
        case Explanation():
            return explained_page(what)
        case BatchnormWalk():
            return walk_page(what)
    profiles, traces = _several(what)
    if len(profiles) + len(traces) < 2:
        raise NoPicture(
            f"a comparison takes two or more, got {len(profiles) + len(traces)}; give one by itself"
        )
    return comparison_page(profiles) if profiles else traces_page(traces)


def chart(what: Any) -> Chart:
    """An altair chart of a Profile, of a Trace, of several of either (as `report` takes them) or of
    a Sketch.

    raises: NoPicture for anything else.
    """
    if isinstance(what, Sketch):
        return house(ridgeline([what], "x", NETWORK_COLOURS[0]))
    if isinstance(what, Trace):
        return house(depth_chart(what, diagnose(what)).properties(width=520))
    if isinstance(what, Profile):
        return house(along_depth(depth_series(what, theory_of(what)), "RMS").properties(width=520))
    profiles, traces = _several(what)
    if traces:
        return house(traces_chart(traces, places(list(traces.values()))).properties(width=520))
    series = [
        Series(name, *((None, each.gradient) if each.source == "theory" else (each.gradient, None)))
        for name, each in profiles.items()
    ]
    return house(along_depth(series, "RMS of dE/dx").properties(width=520))


def theory_of(profile: Profile) -> Profile | None:
    """The prediction for the network that was simulated; None where theory has none for it, or the
    inputs were given."""
    if profile.source == "theory":
        return profile
    if profile.inputs != "white noise":
        return None
    try:
        return predict(NetSpec.from_record(profile.spec), loss=profile.loss)
    except DepthscaleError:
        return None


def _several(what: Any) -> tuple[dict[str, Profile], dict[str, Trace]]:
    """Profiles by name, or traces; the other of the two is empty."""
    if isinstance(what, Comparisons | TraceComparison):
        what = [what.a, what.b] if isinstance(what, Comparisons) else [what.before, what.after]
    each = (
        list(what.values())
        if isinstance(what, Mapping)
        else list(what)
        if isinstance(what, list | tuple)
        else []
    )
    named = dict(zip(map(str, what), each, strict=True)) if isinstance(what, Mapping) else None
    if each and all(isinstance(one, Profile) for one in each):
        return named or names(each), {}
    if each and all(isinstance(one, Trace) for one in each):
        return {}, named or trace_names(each)
    raise NoPicture(
        "give a Profile, a Trace, what compare returned, or several profiles, or several traces, "
        "in a list or by name; got "
        f"{type(what).__name__}"
        + (f" of {', '.join(sorted({type(one).__name__ for one in each}))}" if each else "")
    )
