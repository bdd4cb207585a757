"""Running averages of mean and variance, by the two conventions of momentum that are in use."""

from dataclasses import dataclass

from torch import Tensor

from depthscale.errors import InvalidInput


@dataclass(frozen=True)
class Convention:
    """momentum_is_kept: the share of the old average (else of the new batch); unbiased: variance
    over n - 1 instead of n.

    first_variance: where the running variance starts; momentum: what it is unless said.
    """

    momentum_is_kept: bool
    unbiased: bool
    first_variance: float
    momentum: float


CONVENTIONS = {
    "course": Convention(momentum_is_kept=True, unbiased=False, first_variance=0.0, momentum=0.9),
    "torch": Convention(momentum_is_kept=False, unbiased=True, first_variance=1.0, momentum=0.1),
}


def updated(old: Tensor, batch: Tensor, momentum: float, convention: Convention) -> Tensor:
    """The average after one more batch."""
    kept = momentum if convention.momentum_is_kept else 1 - momentum
    return kept * old + (1 - kept) * batch


def variance_of_batch(biased: Tensor, samples: int, convention: Convention) -> Tensor:
    """The variance that the convention averages. / biased: over `samples` values. / raises:
    InvalidInput over a single one."""
    if not convention.unbiased:
        return biased
    if samples == 1:
        raise InvalidInput(
            "torch's convention averages the variance over n - 1, which one sample does not have; "
            "give more"
        )
    return biased * (samples / (samples - 1))
