"""Rule: what a check looks for, declared beside the check."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from depthscale._diagnose.finding import Finding
from depthscale.measure import Analysis


@dataclass(frozen=True)
class Rule:
    """Findings of one kind.

    Attributes:
        names: as `Finding.rule` and `--fail-on` have them.
        about: where it speaks.
        source: of what it says.
    """

    names: tuple[str, ...]
    about: str
    source: str = ""


@dataclass(frozen=True)
class Check:
    """A function of an analysis, and the rules by which it finds something."""

    look: Callable[[Analysis], Iterator[Finding]]
    rules: tuple[Rule, ...]
