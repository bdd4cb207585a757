"""Records as a notebook shows them: the finding in words and a picture, drawn here and not by a
script from elsewhere."""

from itertools import islice
from math import isfinite

import vl_convert

from depthscale._diagnose import Diagnosis, diagnose
from depthscale._report.chart.record_charts import (
    blocks_chart,
    ledger_chart,
    profile_chart,
    profiles_chart,
    sketch_chart,
    trace_chart,
    traces_chart,
)
from depthscale._report.chart.steps_chart import steps_chart
from depthscale._report.chart.study_chart import study_chart
from depthscale._report.chart.sweep_chart import sweep_map_chart
from depthscale._report.chart.theme import Chart
from depthscale._report.chart.timeline_charts import timeline_chart
from depthscale._report.page import Html, bullets, join, table, tag
from depthscale._report.pages.sweep_page import default_maps
from depthscale._report.phrases import between, described, rounded, verdict
from depthscale.controls import disarm
from depthscale.measure import Comparison, FirstSteps, Growth, Ledger
from depthscale.monitor import Recording, Timeline
from depthscale.run import Blocks, Run
from depthscale.sketch import FORMATS, Sketch
from depthscale.sweeps import Study, Sweep, SweepMap

_FAR = 3.0  # as a normal deviate


def profile_html(profile: Run, theory: Run | None) -> str:
    """What it is, what the gradient does, and both along depth."""
    before, number, after = verdict(profile, None)
    return join(
        tag("p", tag("strong", described(profile.spec)), tag("br"), before, number, after),
        _drawn(profile_chart(profile, theory)),
    )


def comparison_html(found: Comparison) -> str:
    """What differs, and all gradients on the same axes."""
    described = all(run.graph.is_described for run in found.runs.values())
    drawn = (profiles_chart if described else traces_chart)(found.runs)
    return join(tag("pre", repr(found)), _drawn(drawn))


def trace_html(trace: Run) -> str:
    """What was probed, what was found, and every operation along depth."""
    found = diagnose(trace)
    seen = (
        f"{len(trace):,} operations, {trace.mode} mode, {trace.coverage.share:.1%} of the "
        "autograd nodes seen"
    )
    return join(
        tag("p", tag("strong", trace.model), f": {seen}"),
        diagnosis_html(found),
        _drawn(trace_chart(trace)),
    )


def blocks_html(blocks: Blocks) -> str:
    """Signal and gradient by block, and every number."""
    names = ("activation", "gradient", "forward", "backward", "theory_backward")
    rows = [
        [row.name, *(rounded(getattr(row, name), digits=3) for name in names)] for row in blocks
    ]
    headings = ["activation RMS", "gradient RMS", "gain forward", "gain backward", "theory"]
    return join(_drawn(blocks_chart(blocks)), table(["block", *headings], rows))


def steps_html(found: FirstSteps) -> str:
    """The verdict, and the angle of each block."""
    said = tag("p", tag("strong", found.model), f": {found.verdict}")
    return join(said, _drawn(steps_chart(found)))


def ledger_html(account: Ledger) -> str:
    """What each kind of operation makes of the squared gradient."""
    return join(tag("p", repr(account)), _drawn(ledger_chart(account)))


def diagnosis_html(found: Diagnosis) -> str:
    """The verdict, and a line for each finding."""
    return join(tag("p", found.verdict), bullets(map(str, found.findings)))


def recording_html(recording: Recording) -> str:
    """What is kept, and the run over its steps."""
    timeline = recording.timeline()
    return join(tag("p", repr(recording)), timeline_html(timeline) if timeline.rows else "")


def timeline_html(timeline: Timeline) -> str:
    return join(tag("p", repr(timeline)), _drawn(timeline_chart(timeline)))


def growth_html(found: Growth) -> str:
    """The rate with its interval, in a small table."""
    sure = between(found) if found.stderr else "exact"
    scale = f"{found.depth_scale:.3g} {found.step}s" if isfinite(found.depth_scale) else "∞"
    row = [
        f"×{rounded(found.rate, found.stderr)}",
        sure,
        f"×{found.rms_rate:.5g}",
        scale,
        f"{found.first_layer} to {found.last_layer}",
    ]
    return table(
        [
            f"gradient's mean square per {found.step}",
            "95 % interval",
            "RMS",
            "e-fold every",
            "layers",
        ],
        [row],
    )


def sketch_html(sketch: Sketch) -> str:
    """Its numbers, its distribution over every magnitude, and what number formats would lose of
    it."""
    if not sketch.tally.nonzero:
        return tag("p", repr(sketch))
    rows = [
        [name, f"{sketch.underflow(name):.3g}", f"{sketch.overflow(name):.3g}"] for name in FORMATS
    ]
    return join(
        tag("p", repr(sketch)),
        _drawn(sketch_chart(sketch)),
        table(["share that", "becomes 0", "overflows"], rows),
    )


def sweep_html(found: Sweep) -> str:
    """What is done, and its first map."""
    maps = [_drawn(sweep_map_chart(each)) for each in islice(default_maps(found), 1)]
    return join(tag("p", repr(found)), *maps)


def sweep_map_html(found: SweepMap) -> str:
    return _drawn(sweep_map_chart(found))


def study_html(found: Study) -> str:
    return join(tag("p", repr(found)), _drawn(study_chart(found)))


def _drawn(picture: Chart) -> Html:
    specification = disarm(picture.properties(background="white").to_json(validate=False))
    return Html(vl_convert.vegalite_to_svg(specification))
