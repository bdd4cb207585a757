"""report: a record as one HTML page; chart: a record as one altair chart to restyle."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from depthscale import files
from depthscale.diagnose import diagnose
from depthscale.errors import DepthscaleError, NoPicture
from depthscale.experiments import Founding
from depthscale.measure import Comparisons
from depthscale.profile import Profile
from depthscale.report.article import article
from depthscale.report.comparison_page import comparison_page, names
from depthscale.report.depth import Series, along_depth
from depthscale.report.magnitudes import ridgeline
from depthscale.report.profile_page import depth_series, profile_page
from depthscale.report.theme import NETWORK_COLOURS, Chart, house
from depthscale.report.trace_charts import depth_chart
from depthscale.report.trace_page import trace_page
from depthscale.sketch import Sketch
from depthscale.spec import NetSpec
from depthscale.theory import predict
from depthscale.trace import Trace

Reported = Profile | Trace | Comparisons | Mapping[str, Profile] | Iterable[Profile] | Founding


def report(what: Reported, path: str | Path) -> None:
    """Write one HTML page that needs nothing from outside, whole or not at all.

    what: a Profile (a simulated one is shown with its prediction); what `compare` returned, or two or more profiles, in a list
    or by name; a Trace; or the founding experiment, which becomes an article.
    raises: UnwritablePath; NoPicture for anything else.
    """
    path = Path(path)
    files.check_file(path)
    files.write(path, page(what))


def page(what: Reported) -> str:
    """The page's HTML."""
    if isinstance(what, Founding):
        return article(what)
    if isinstance(what, Profile):
        return profile_page(what, theory_of(what))
    if isinstance(what, Trace):
        return trace_page(what)
    profiles = _profiles(what)
    if len(profiles) < 2:
        raise NoPicture(f"a comparison takes two or more profiles, got {len(profiles)}; give a Profile by itself for one")
    return comparison_page(profiles)


def chart(what: Any) -> Chart:
    """An altair chart of a Profile, of several (as `report` takes them), of a Trace or of a Sketch.

    raises: NoPicture for anything else.
    """
    if isinstance(what, Sketch):
        return house(ridgeline([what], "x", NETWORK_COLOURS[0]))
    if isinstance(what, Trace):
        return house(depth_chart(what, diagnose(what)).properties(width=520))
    if isinstance(what, Profile):
        return house(along_depth(depth_series(what, theory_of(what)), "RMS").properties(width=520))
    series = [
        Series(name, *((None, each.gradient) if each.source == "theory" else (each.gradient, None)))
        for name, each in _profiles(what).items()
    ]
    return house(along_depth(series, "RMS of dE/dx").properties(width=520))


def theory_of(profile: Profile) -> Profile | None:
    """The prediction for the network that was simulated; None where theory has none for it, or the inputs were given."""
    if profile.source == "theory":
        return profile
    if profile.inputs != "white noise":
        return None
    try:
        return predict(NetSpec.from_record(profile.spec), loss=profile.loss)
    except DepthscaleError:
        return None


def _profiles(what: Any) -> dict[str, Profile]:
    if isinstance(what, Comparisons):
        return names([what.a, what.b])
    if isinstance(what, Mapping) and all(isinstance(each, Profile) for each in what.values()):
        return {str(name): each for name, each in what.items()}
    if isinstance(what, (list, tuple)) and what and all(isinstance(each, Profile) for each in what):
        return names(list(what))
    raise NoPicture(
        f"give a Profile, a Trace, what compare returned, or several profiles in a list or by name; got {type(what).__name__}"
    )
