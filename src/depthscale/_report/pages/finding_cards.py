"""Findings on a page: what to change, each in a short paragraph with its numbers behind a click,
and remarks."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from depthscale._diagnose import Diagnosis, Finding
from depthscale._report.page import Html, Part, gathered, section, tag
from depthscale._report.phrases import sentence, with_error
from depthscale._report.short_names import named_with_kind
from depthscale.run import Run

_TITLES = {"error": "Error", "warn": "Warning", "info": "Remark"}


def changes(trace: Run, diagnosis: Diagnosis) -> Part:
    """What is wrong and what to try, right under the verdict."""
    wrong = [each for each in diagnosis.findings if each.severity != "info"]
    cards = [_card(each, trace) for each in wrong]
    return gathered(
        *(cards or [tag("p", "Nothing asks for a change.", class_="note")]), id="change"
    )


def remarks(trace: Run, diagnosis: Diagnosis) -> Part:
    """What is worth knowing and harms nothing; nothing where there is nothing."""
    cards = [_card(each, trace) for each in diagnosis.findings if each.severity == "info"]
    return section("remarks", "Remarks", *cards) if cards else Part(Html(""))


def _card(found: Finding, trace: Run) -> Html:
    ops = {op.name: op for op in trace.ops}
    at = ops.get(found.where)
    name = named_with_kind(found.where, at.op) if at else found.where
    where = tag("button", name, type="button", class_="op", data_at=at.id) if at else name
    title = [f"{_TITLES[found.severity]}: {found.rule}", *([" at ", where] if name else [])]
    lines = [tag("p", sentence(found.says))]
    if found.advice:
        lines.append(tag("p", tag("strong", "Try: "), found.advice))
    numbers = [*numbers_of(found.evidence), *([f"source {found.source}"] if found.source else [])]
    if numbers:
        behind = tag("p", sentence("; ".join(numbers)), class_="note")
        lines.append(tag("details", tag("summary", "Numbers and source", class_="note"), behind))
    return tag("div", tag("h3", *title), *lines, class_=f"finding {found.severity}")


def numbers_of(evidence: Mapping[str, Any]) -> Iterator[str]:
    """Each number with its error and the limit that it passed, in words."""
    for name, value in evidence.items():
        if name.startswith("threshold") or name == "stderr" or value in (None, 0.0, ""):
            continue
        limit = evidence.get(f"threshold_{name}", evidence.get("threshold"))
        limited = isinstance(limit, int | float) and name == _limited(evidence, name)
        error = evidence.get("stderr") if name == "rate" else None
        said = _said(value, error)
        if said:
            within = f" (limit {_said(limit)})" if limited else ""
            yield f"{name.replace('_', ' ')} {said}{within}"


def _limited(evidence: Mapping[str, Any], name: str) -> str:
    """The number that a limit without a name is of: the first."""
    return name if f"threshold_{name}" in evidence else next(iter(evidence))


def _said(value: Any, error: float | None = None) -> str:
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | float):
        known = with_error(value, error) if error else f"{value:,.3g}" if abs(value) < 1e5 else ""
        return (known or f"{value:.3g}") if isfinite(value) else ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
