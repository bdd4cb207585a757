"""Probing: a model and its inputs -> Trace."""

from depthscale.probe.probe import probe

__all__ = ["probe"]
