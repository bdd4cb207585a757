"""Records as a notebook shows them: the finding in words and a picture, drawn here and not by a
script from elsewhere."""

from math import isfinite

import numpy as np
import vl_convert

from depthscale._diagnose import Diagnosis, diagnose
from depthscale._report.chart.record_charts import (
    ledger_chart,
    profile_chart,
    profiles_chart,
    sketch_chart,
    trace_chart,
    traces_chart,
)
from depthscale._report.chart.theme import Chart
from depthscale._report.legend import profile_names, trace_names
from depthscale._report.page.html import Html, join, table, tag
from depthscale._report.phrases import described, interval, rounded, verdict
from depthscale.measure import Comparison, Comparisons, Growth, Ledger, TraceComparison
from depthscale.run import Profile, Trace
from depthscale.sketch import FORMATS, Sketch

_FAR = 3.0  # as a normal deviate


def profile_html(profile: Profile, theory: Profile | None) -> str:
    """What it is, what the gradient does, and both along depth."""
    before, number, after = verdict(profile, None)
    return join(
        tag("p", tag("strong", described(profile.spec)), tag("br"), before, number, after),
        _drawn(profile_chart(profile, theory)),
    )


def comparisons_html(found: Comparisons) -> str:
    """Both gradients on the same axes, and how far they lie apart."""
    both = profiles_chart(profile_names([found.a, found.b]))
    return join(_drawn(both), comparison_html(found["gradient"]))


def comparison_html(found: Comparison) -> str:
    """Where the two differ most."""
    far = int((np.nan_to_num(np.abs(found.standard_errors)) > _FAR).sum())
    layers = len(found.standard_errors)
    return tag("p", f"{found!r}: beyond {_FAR:g} at {far} of {layers} layers")


def trace_comparison_html(found: TraceComparison) -> str:
    """What differs, and both gradients by step of depth."""
    both = traces_chart(trace_names([found.before, found.after]))
    return join(tag("pre", repr(found)), _drawn(both))


def trace_html(trace: Trace) -> str:
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


def ledger_html(account: Ledger) -> str:
    """What each kind of operation makes of the squared gradient."""
    return join(tag("p", repr(account)), _drawn(ledger_chart(account)))


def diagnosis_html(found: Diagnosis) -> str:
    """The verdict, and a line for each finding."""
    return join(
        tag("p", found.verdict), tag("ul", *(tag("li", str(each)) for each in found.findings))
    )


def growth_html(found: Growth) -> str:
    """The rate with its interval, in a small table."""
    low, high = interval(found)
    sure = (
        f"{rounded(low, found.stderr)} to {rounded(high, found.stderr)}"
        if found.stderr
        else "exact"
    )
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


def _drawn(picture: Chart) -> Html:
    return Html(
        vl_convert.vegalite_to_svg(picture.properties(background="white").to_json(validate=False))
    )
