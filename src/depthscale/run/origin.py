"""Origins: where a run's numbers come from, and what only that source has."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from depthscale.network import Count, Positive
from depthscale.run.quantity import Array
from depthscale.run.records import (
    Coverage,
    Likeness,
    NormSplit,
    Shares,
    Slopes,
    Terms,
    TracedParameter,
)
from depthscale.run.turns import OptimizerStep

Ends = tuple[tuple[Count, tuple[float, ...]], ...]


@dataclass(frozen=True, eq=False)
class Simulated:
    """Random networks of a description.

    Attributes:
        spec: the description's fields.
        seed: number of the first network.
        inputs: "white noise", or "given" data.
        without_rate: why the gradient has no rate of growth, or nothing.
    """

    spec: Mapping[str, Any]
    seed: int = 0
    inputs: str = "white noise"
    without_rate: str = ""


@dataclass(frozen=True, eq=False)
class Predicted:
    """Theory of a description, of any graph, or of a probed run's operations.

    Attributes:
        spec: the description's fields; of a probed run its model and mode; {} for a graph.
        inputs: "white noise", or "given" data.
        log_variance: [places] variance, over networks of this width, of log(gradient at a place /
            gradient at the last); None where it is not known.
        stops: operations without a rule, and why: forward ones first, as the signal meets them,
            then backward ones, as the gradient does.
        caveats: what the rules that were used leave out, by operation.
        log2_gains: [edges] log2 of (mean square sent down an edge / the operation's own
            gradient's); for one that no two samples share where that gradient is not known.
        weight_gradients: [ops] log2 of the mean square of an entry of dE/dW, over the whole batch;
            nan for what has no weights.
        from_theory: for each operation, whether its numbers are theory's.
        without_rate: as of a simulated run.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    inputs: str = "white noise"
    log_variance: Array | None = None
    stops: tuple[tuple[Count, str], ...] = ()
    caveats: tuple[tuple[Count, str], ...] = ()
    log2_gains: Array = field(default_factory=lambda: np.empty(0))
    weight_gradients: Array | None = None
    from_theory: tuple[bool, ...] = ()
    without_rate: str = ""


@dataclass(frozen=True)
class Details:
    """What a probe reads at one operation beside its sketches.

    Attributes:
        split: a Batch Norm's gain in parts.
        likeness: of activations, norms and sums.
        shares: of a softmax, or of the one inside a fused attention.
        dead: share of a rectifier's units that nothing in the batch activates. A number with a
            heading is a column of tables and of pages.
        reached: share of a sequence's positions that more than a millionth of the gradient's RMS
            at the one with most reaches.
        terms: [passes] of a norm's backward pass; slopes: [passes] of an activation's; both are
            empty unless they were asked for.
    """

    split: NormSplit | None = None
    likeness: Likeness | None = None
    dead: float | None = field(default=None, metadata={"heading": "dead units"})
    shares: Shares | None = None
    reached: float | None = None
    terms: tuple[Terms, ...] = ()
    slopes: tuple[Slopes, ...] = ()

    @classmethod
    def headings(cls) -> dict[str, str]:
        """What a reader calls each number, by its field."""
        return {f.name: f.metadata["heading"] for f in fields(cls) if f.metadata}


@dataclass(frozen=True, eq=False)
class Probed:
    """A model that ran.

    Attributes:
        model: its class; mode: "train", "eval" or "mixed"; seed, repeats: of the probe.
        batch: size of the first axis of the outputs.
        params, coverage, details: what was seen at parameters, of the whole, at each operation.
        sinks: (operation, [passes] log2 squared norm of the cotangent put there).
        sources: (operation, [passes] log2 squared norm that reached it), measured where autograd
            hands the gradient over, apart from the operations' own.
        loss_scale: gradients are reported divided by it.
        verified: whether outputs and gradients were equal without the probe; None: not compared.
        norms: whether terms and slopes were recorded.
        ranks: processes whose shares of the batch are added up, each a pass.
        step: of the user's optimizer, where it was given with a loss.
    """

    model: str
    mode: str
    seed: int
    repeats: Positive
    batch: Count
    coverage: Coverage
    sinks: Ends
    sources: Ends
    details: tuple[Details, ...]
    params: tuple[TracedParameter, ...] = ()
    loss_scale: float = 1.0
    verified: bool | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    norms: bool = False
    ranks: Positive = 1
    step: OptimizerStep | None = None


Origin = Simulated | Probed | Predicted
