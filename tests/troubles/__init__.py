"""Networks with one known trouble each, most after a public report, beside a twin that is well.

A module is a trouble: `faulty()` and `healthy()` give (model, inputs) or (model, inputs, options
for `probe`), and `EXPECT` says what a diagnosis has to find.
"""

import re
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Literal

from depthscale._diagnose import Diagnosis, Finding
from depthscale.measure import SEVERITIES, Severity


@dataclass(frozen=True)
class Trouble:
    """What a finding of a trouble has to name, and which alarms of the healthy twin are true.

    kind: what is wrong: which parameters move, the two ends (inputs, outputs and loss), numbers
    that a type cannot hold, or growth over the depth. rules and allowed: names of rules. where,
    words and advice: patterns of one finding's place, sentences and advice. severity: the least.
    """

    kind: Literal["moves", "ends", "numbers", "growth"]
    rules: tuple[str, ...]
    where: str
    words: str
    advice: str
    allowed: tuple[str, ...] = ()
    severity: Severity = "warn"

    def is_met_by(self, finding: Finding) -> bool:
        """Whether one finding has the severity, the place, the cause and the advice that helps."""
        return (
            SEVERITIES.index(finding.severity) >= SEVERITIES.index(self.severity)
            and re.search(self.where, finding.where) is not None
            and re.search(self.words, f"{finding.says} {finding.headline}", re.I) is not None
            and re.search(self.advice, finding.advice, re.I) is not None
        )

    def findings(self, diagnosis: Diagnosis) -> list[Finding]:
        """The findings that name this trouble."""
        return [each for each in diagnosis.matching(self.rules) if self.is_met_by(each)]

    def alarms(self, diagnosis: Diagnosis) -> list[Finding]:
        """The findings worse than a remark that are not allowed."""
        allowed = diagnosis.matching(self.allowed)
        return [each for each in diagnosis.matching(("warn",)) if each not in allowed]


def names() -> list[str]:
    return sorted(module.name for module in iter_modules(__path__))


def trouble(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")
