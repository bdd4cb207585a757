"""What every law of a norm's sigma answers."""

from typing import Protocol

from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments
from depthscale.theory.norm.norm_shares import Deviation, NormShares


class Regime(Protocol):
    """A norm on a certain input, under the law of sigma that holds there."""

    def forward(self) -> ForwardMoments:
        """The norm's output. / raises: NoTheory."""
        ...

    def backward(self, g: BackwardMoments) -> BackwardMoments:
        """The gradient at the norm's input, of the one at its output. / raises: NoTheory."""
        ...

    def shares(self, g: BackwardMoments) -> NormShares:
        """Of that gradient, what goes through the statistics. / raises: NoTheory."""
        ...

    def deviation(self) -> Deviation:
        """sigma^2 over what it is computed for. / raises: NoTheory."""
        ...
