"""Random networks from their description: one torch module, or a fast ensemble over seeds."""

from depthscale.nets.module import build
from depthscale.nets.simulate import simulate

__all__ = ["build", "simulate"]
