"""Which law of sigma holds: decided once, by what a norm is over and by what is known of its
values."""

from math import inf, nan

import pytest

from depthscale.errors import NoTheory
from depthscale.network import Norm
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import (
    UNKNOWN,
    ForwardMoments,
    KnownLaw,
    Places,
    Source,
)
from depthscale.theory.moments.laws import Gaussian
from depthscale.theory.norm import regime

GAUSSIAN = ForwardMoments(0.0, 0.3, -0.5, known=KnownLaw(Gaussian(1.0, 0.3)))
RELU = ForwardMoments(-1.0, 0.5, -2.0, 0.6, KnownLaw(source=Source("relu", Gaussian(1, 0.3), 0.0)))
LAWLESS = GAUSSIAN._replace(known=KnownLaw())
IMAGE = GAUSSIAN._replace(places=Places(16, 0.4))
UNCORRELATED = GAUSSIAN._replace(sample_correlation=nan)


@pytest.mark.parametrize(
    ("norm", "y", "law"),
    [
        (Norm("batch", 8, statistics="running"), UNKNOWN, "Constant"),
        (Norm("layer", inf), RELU, "Constant"),
        (Norm("layer", 32), GAUSSIAN, "Constant"),
        (Norm("rms", inf), GAUSSIAN, "Constant"),
        (Norm("rms", 200), LAWLESS, "Constant"),
        (Norm("group", inf), GAUSSIAN, "Constant"),
        (Norm("batch", 8), UNKNOWN, "Unknown"),
        (Norm("batch", 8), UNCORRELATED, "Unknown"),
        (Norm("batch", inf), GAUSSIAN, "InfiniteBatch"),
        (Norm("batch", inf), RELU, "InfiniteBatch"),
        (Norm("batch", 8), GAUSSIAN, "Sphere"),
        (Norm("rms", 8), GAUSSIAN, "Sphere"),
        (Norm("group", 8), GAUSSIAN, "Sphere"),
        (Norm("instance", 16), IMAGE, "Sphere"),
        (Norm("batch", 8), RELU, "AfterActivation"),
        (Norm("group", 8), RELU, "AfterActivation"),
        (Norm("batch", 3000), RELU, "LargeSample"),
        (Norm("batch", 128), IMAGE, "LargeSample"),
        (Norm("group", 128), IMAGE, "LargeSample"),
        (Norm("batch", 8), LAWLESS, "LargeSample"),
    ],
)
def test_a_norm_has_one_law_on_an_input(norm: Norm, y: ForwardMoments, law: str) -> None:
    assert type(regime(norm, y)).__name__ == law


def test_a_mean_square_of_few_values_of_no_law_has_no_rule() -> None:
    with pytest.raises(NoTheory, match="rms norm over 199 values"):
        regime(Norm("rms", 199), LAWLESS)


def test_a_gradient_is_known_where_only_two_samples_product_is_not() -> None:
    """A group's sigma is over one sample's entries, whatever other samples are."""
    below = regime(Norm("group", 8), UNCORRELATED).backward(BackwardMoments(0.0, 0.0))
    known = regime(Norm("group", 8), GAUSSIAN).backward(BackwardMoments(0.0, 0.0))
    assert below.log2_ms == known.log2_ms
