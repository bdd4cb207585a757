"""diagnose: what is wrong with a trace, in words, with evidence."""

from depthscale._diagnose.batch import BATCH
from depthscale._diagnose.branches import BRANCHES
from depthscale._diagnose.collapse import COLLAPSE
from depthscale._diagnose.copies import COPIES
from depthscale._diagnose.cut import CUT
from depthscale._diagnose.data import INPUTS
from depthscale._diagnose.finding import Diagnosis
from depthscale._diagnose.first_step import FIRST_STEP
from depthscale._diagnose.judged import JUDGED
from depthscale._diagnose.learning import PARAMETERS
from depthscale._diagnose.modes import MODES
from depthscale._diagnose.numbers import NUMBERS
from depthscale._diagnose.one_position import POSITIONS
from depthscale._diagnose.overall import overall
from depthscale._diagnose.rates import RATES
from depthscale._diagnose.rule import Check
from depthscale._diagnose.sentences import sentence_of
from depthscale._diagnose.softmaxes import SOFTMAXES
from depthscale._diagnose.theory import THEORY
from depthscale._diagnose.units import UNITS
from depthscale.measure import SEVERITIES, Analysis, Thresholds, is_empty
from depthscale.run import Run, kept

# in the order in which findings of one severity are listed
CHECKS: tuple[Check, ...] = (
    BATCH,
    NUMBERS,
    INPUTS,
    CUT,
    PARAMETERS,
    JUDGED,
    RATES,
    FIRST_STEP,
    BRANCHES,
    UNITS,
    SOFTMAXES,
    COLLAPSE,
    POSITIONS,
    COPIES,
    MODES,
    THEORY,
)
RULES = tuple(rule for check in CHECKS for rule in check.rules)
RULE_NAMES = tuple(sorted({name for rule in RULES for name in rule.names}))


def diagnose(run: Run | Analysis, thresholds: Thresholds | None = None) -> Diagnosis:
    """Findings of a trace, worst first, one for each cause.

    A gradient explodes or vanishes only where its mean square changes a hundredfold over the
    model's own bulk, its rate lies more than 3 standard errors from 1, and no power of depth
    describes it better; below that it is a remark.

    Args:
        run: a trace, or the analysis of one.
        thresholds: from where on rules speak; each has its unit and reason (`Thresholds`).
    """
    if not isinstance(run, Run | Analysis):
        raise TypeError(
            f"diagnose takes a Run, got {type(run).__name__}; make one with probe(model, inputs)"
        )
    if not isinstance(thresholds, Thresholds | None):
        raise TypeError(f"thresholds must be Thresholds, got {type(thresholds).__name__}")
    analysis = Analysis.of(run, thresholds)
    return kept(analysis, "_diagnosis", lambda: _judge(analysis))


def _judge(analysis: Analysis) -> Diagnosis:
    checks = (BATCH,) if is_empty(analysis.trace) else CHECKS
    findings = [finding for check in checks for finding in check.look(analysis)]
    if checks is CHECKS:
        findings += overall(analysis, findings)
    findings.sort(key=lambda finding: -SEVERITIES.index(finding.severity))
    return Diagnosis(tuple(findings), sentence_of(analysis, findings), analysis.predicted_rate)
