"""Alerts: what `diagnose` finds at sampled steps, each cause once, from where it began."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from depthscale._diagnose import Finding


@dataclass(frozen=True)
class Alert:
    """A finding that stands at one or more sampled steps.

    Attributes:
        step: where it was found first; last: where it was found last.
        rule, severity, where, says, advice: of the first finding.
    """

    step: int
    last: int
    rule: str
    severity: str
    where: str
    says: str
    advice: str = ""

    def __str__(self) -> str:
        at = f"step {self.step}" if self.step == self.last else f"steps {self.step} to {self.last}"
        place = f" at {self.where}" if self.where else ""
        return f"{at}: {self.severity}: {self.rule}{place}: {self.says}"


class Alerts:
    """Those of a training run, in the order in which they began; infos are none."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Alert] = {}

    def add(self, step: int, findings: Iterable[Finding]) -> None:
        for each in findings:
            if each.severity == "info":
                continue
            before = self._known.get((each.rule, each.where))
            self._known[each.rule, each.where] = (
                replace(before, last=step)
                if before is not None
                else Alert(step, step, each.rule, each.severity, each.where, each.says, each.advice)
            )

    def put(self, alert: Alert) -> None:
        self._known[alert.rule, alert.where] = alert

    @property
    def all(self) -> tuple[Alert, ...]:
        return tuple(sorted(self._known.values(), key=lambda each: each.step))
