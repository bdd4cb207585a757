"""The steps of the growth argument in words: what each says of a network, and why a network may not
have it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import nan, sqrt
from typing import Any

import numpy as np

from depthscale._explain.verdict import Row, Unit
from depthscale.network import NetSpec


@dataclass(frozen=True)
class Step:
    """A step of the argument at its subject: a described network, or a norm of a model (`Block`).

    Args:
        name: Of its number in `expected` and `measured`.
        statement: What it says of a subject.
        formula: p is the mean square of a gradient.
        label: In a column.
        broken: What is said where it fails.
        lacks: Why a subject has no such step, or nothing.
        vanilla: Whether it is about the network without a norm.
    """

    name: str
    unit: Unit
    statement: Callable[[Any], str]
    formula: str
    label: str = ""
    broken: str = ""
    lacks: Callable[[Any], str] = lambda subject: ""
    vanilla: bool = False

    def row(
        self,
        subject: Any,
        layer: int | None,
        argued: float,
        predicted: float,
        values: Sequence[float],
    ) -> Row:
        """Not judged yet. / values: one for each network."""
        stderr = float(np.std(values, ddof=1) / sqrt(len(values))) if len(values) > 1 else nan
        mean = float(np.mean(values))
        blank = self.blank(subject)
        return replace(
            blank, layer=layer, argued=argued, predicted=predicted, measured=mean, stderr=stderr
        )

    def blank(self, subject: Any, why: str = "") -> Row:
        """The row of a step that there is not. / why: the reason."""
        return Row(self.name, self.statement(subject), self.formula, self.unit, why=why)


def _over(spec: NetSpec) -> str:
    """What the norm has one sigma for."""
    return "neurons" if spec.normalizer.mixes_samples else "samples"


def _name(spec: NetSpec) -> str:
    return spec.normalizer.name if spec.normalizer.kind else "the norm"


def _no_norm(spec: NetSpec) -> str:
    if spec.normalizer.kind:
        return ""
    if spec.normalizer.rows == "free":
        return "there is no norm"
    return f"{spec.normalizer.name} acts on the weights, not on y"


def _no_statistics(spec: NetSpec) -> str:
    running = spec.normalizer.has_statistics and spec.statistics == "running"
    return _no_norm(spec) or ("running statistics are constants, 0 and 1" if running else "")


def _no_term(spec: NetSpec) -> str:
    frozen = spec.normalizer.has_statistics and spec.statistics == "frozen"
    return _no_statistics(spec) or ("frozen statistics take no gradient" if frozen else "")


def _no_mean(spec: NetSpec) -> str:
    row = spec.normalizer.row
    keeps = row is not None and not row.centred
    return _no_term(spec) or (f"{_name(spec)} takes no mean away" if keeps else "")


def _product(spec: NetSpec) -> str:
    by = f"sigma_w² = {spec.sigma_w2:g}"
    if spec.normalizer.rows != "free":
        by = "g² / Var φ" if spec.normalizer.by_activation else "g²"
    return (
        "the matrix product doubles p"
        if by == "sigma_w² = 2"
        else f"the matrix product multiplies p by {by}"
    )


STEPS = (
    Step("product", "factor", _product, "p(x below) / p(y) = sigma_w²"),
    Step(
        "slope",
        "factor",
        lambda s: (
            "ReLU halves it" if s.activation == "relu" else f"{s.activation} multiplies it by E φ'²"
        ),
        "p(z) / p(x) = E φ'(z)²",
    ),
    Step(
        "vanilla",
        "factor",
        lambda s: "so without a norm a layer keeps p",
        "p(x below) / p(x) = sigma_w² E φ'²",
        vanilla=True,
    ),
    Step(
        "vanilla_variance",
        "factor",
        lambda s: "without one, σ² drifts as samples correlate",
        "σ²(y) = sigma_w² E x² (1 - c)",
        vanilla=True,
    ),
    Step(
        "norm",
        "factor",
        lambda s: f"but {_name(s)} multiplies it by 1/σ²",
        "p(y) / p(z) = 1/σ²",
        lacks=_no_norm,
    ),
    Step(
        "through_mean",
        "share",
        lambda s: "for the term through the mean is negligible",
        "⟨dE/dz⟩² / ⟨(dE/dz)²⟩ = 0",
        lacks=_no_mean,
    ),
    Step(
        "through_sigma",
        "share",
        lambda s: "and so is the term through sigma",
        "⟨z dE/dz⟩² / ⟨(dE/dz)²⟩ = 0",
        lacks=_no_term,
    ),
    Step(
        "sigma2",
        "factor",
        lambda s: "σ² is what the activation leaves",
        "σ² = sigma_w² Var φ",
        lacks=_no_statistics,
    ),
    Step(
        "spread",
        "share",
        lambda s: f"and hardly varies between {_over(s)}",
        "Var σ² / (mean σ²)² = 0",
        lacks=_no_statistics,
    ),
    Step(
        "inverse",
        "factor",
        lambda s: "so that the mean of 1/σ²",
        "mean of 1/σ² = 1 / (sigma_w² Var φ)",
        lacks=_no_statistics,
    ),
    Step(
        "flatness",
        "factor",
        lambda s: "is 1 over the mean of σ²",
        "(mean of 1/σ²) (mean of σ²) = 1",
        lacks=_no_statistics,
    ),
    Step(
        "slopes_independent",
        "correlation",
        lambda s: "slopes do not know the gradient they multiply",
        "r(φ'(z)², (dE/dx)²) = 0",
        lacks=lambda s: "φ' is constant" if s.activation == "linear" else "",
    ),
    Step(
        "squares_independent",
        "correlation",
        lambda s: "nor does the size of z know that of the gradient",
        "r(z², (dE/dx)²) = 0",
    ),
    Step(
        "z_independent",
        "correlation",
        lambda s: "nor z the gradient that arrives at it",
        "r(z, dE/dz) = 0",
    ),
    Step(
        "layer",
        "factor",
        lambda s: "so a layer multiplies p by",
        "p(x below) / p(x) = sigma_w² E φ'² / σ²",
    ),
    Step(
        "rate",  # of all layers between the first and the last
        "factor",
        lambda s: "and p grows towards the input at the rate",
        "λ^(L-2) = p(x_1) / p(x_(L-1))",
        lacks=lambda s: "" if s.depth > 2 else "there are no layers between the first and the last",
    ),
)
