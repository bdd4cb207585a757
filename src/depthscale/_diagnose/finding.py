"""Finding and Diagnosis: what is wrong, where, how it is known, and what to try."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import nan
from typing import Any

from depthscale.drawable import Drawable
from depthscale.measure import SEVERITIES, Severity
from depthscale.run import rows_frame

_COLUMNS = ("severity", "where", "says", "advice", "evidence", "source")


@dataclass(frozen=True)
class Finding:
    """One cause. / rule: its name; where: the operation, by name; says: what is the matter, in a
    sentence or two.

    evidence: numbers and the thresholds they passed; source: of the rule; advice: what to try.
    headline: the same in half a sentence, for a verdict; empty where `says` is short.
    """

    rule: str
    severity: Severity
    where: str
    says: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    advice: str = ""
    headline: str = ""

    def __str__(self) -> str:
        return (
            f"{self.severity}: {self.rule} at {self.where}: {self.says}"
            if self.where
            else f"{self.severity}: {self.rule}: {self.says}"
        )


@dataclass(frozen=True)
class Diagnosis(Drawable):
    """Findings, worst first. / verdict: the whole in one sentence; "nothing wrong" where nothing is
    worse than an info.

    predicted_rate: theory's growth of the gradient's mean square per step of depth; nan where a
    rule is missing.
    """

    findings: tuple[Finding, ...]
    verdict: str
    predicted_rate: float = nan

    @property
    def healthy(self) -> bool:
        return all(finding.severity == "info" for finding in self.findings)

    def matching(self, names: tuple[str, ...]) -> tuple[Finding, ...]:
        """Findings of some rules, of rules that begin so, or of a severity and worse."""
        return tuple(f for f in self.findings if any(_matches(f, name) for name in names))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the verdict, theory's rate, and a dictionary a finding."""
        return asdict(self)

    def to_pandas(self) -> Any:
        """A pandas DataFrame, a row a finding, by its rule. / raises: MissingPackage where pandas
        is not installed."""
        return rows_frame(self.findings, _COLUMNS, "rule", "rule")

    def __repr__(self) -> str:
        return "\n".join(
            [f"Diagnosis: {self.verdict}", *(line for each in self for line in _lines(each))]
        )


def _lines(finding: Finding) -> list[str]:
    return [f"  {finding}", *([f"    try: {finding.advice}"] if finding.advice else [])]


def _matches(finding: Finding, name: str) -> bool:
    if name in SEVERITIES:
        return SEVERITIES.index(finding.severity) >= SEVERITIES.index(name)
    return finding.rule.startswith(name)
