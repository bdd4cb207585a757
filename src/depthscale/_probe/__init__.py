"""Probing: a model and its inputs -> Trace."""

from depthscale._probe.probe import probe

__all__ = ["probe"]
