"""What training does to a network: an optimizer's first step, measured and in theory."""

from depthscale.training.cross_entropy import handed_back
from depthscale.training.door import first_steps

__all__ = ["first_steps", "handed_back"]
