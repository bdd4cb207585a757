"""One chart of each kind of record, to restyle."""

from collections.abc import Mapping

import altair as alt

from depthscale._diagnose import diagnose
from depthscale._report.chart.along_depth import Series, along_depth
from depthscale._report.chart.along_steps import along_steps, places
from depthscale._report.chart.block_charts import gains_chart, levels_chart
from depthscale._report.chart.magnitudes import ridgeline
from depthscale._report.chart.theme import NETWORK_COLOURS, Chart, house
from depthscale._report.chart.trace_charts import by_kind, depth_chart
from depthscale.measure import Ledger
from depthscale.run import Blocks, Run
from depthscale.sketch import Sketch

_WIDTH = 520  # pixels


def profile_chart(profile: Run, theory: Run | None) -> Chart:
    """Gradient and activation along depth, with what theory says of them."""
    return _sized(along_depth(depth_series(profile, theory), "RMS"))


def profiles_chart(profiles: Mapping[str, Run]) -> Chart:
    """The gradients of several profiles: points as measured, lines as predicted."""
    series = [run_series(name, run, "gradient") for name, run in profiles.items()]
    return _sized(along_depth(series, "RMS of dE/dx"))


def run_series(name: str, run: Run, quantity: str) -> Series:
    """As measured, or as predicted."""
    values = getattr(run, quantity)
    return Series(name, values) if run.networks else Series(name, predicted=values)


def trace_chart(trace: Run) -> Chart:
    """Gradient and activation of every operation, the guilty ones marked."""
    return _sized(depth_chart(trace, diagnose(trace)))


def blocks_chart(blocks: Blocks) -> Chart:
    """Gradient and activation where each block ends, and what each makes of them."""
    charts = (levels_chart(blocks), gains_chart(blocks).properties(height=180))
    return house(alt.vconcat(*(each.properties(width=_WIDTH) for each in charts)))


def traces_chart(traces: Mapping[str, Run]) -> Chart:
    """The gradients of several traces by step of depth."""
    return _sized(along_steps(traces, places(list(traces.values()))))


def ledger_chart(account: Ledger) -> Chart:
    """What each kind of operation makes of the squared gradient."""
    return _sized(by_kind(account), 360)


def sketch_chart(sketch: Sketch) -> Chart:
    """The distribution over every magnitude."""
    return house(ridgeline([sketch], "x", NETWORK_COLOURS[0]))


def depth_series(profile: Run, theory: Run | None) -> list[Series]:
    """Gradient and activation, as measured and as predicted."""
    measured = profile if profile.networks else None
    predicted = profile if measured is None else theory
    return [
        Series(
            name,
            getattr(measured, name) if measured is not None else None,
            getattr(predicted, name) if predicted is not None else None,
        )
        for name in ("gradient", "activation")
    ]


def _sized(chart: Chart, width: int = _WIDTH) -> Chart:
    return house(chart.properties(width=width))
