"""Probing: a model and its inputs -> Run."""

from depthscale._probe.probe import probe

__all__ = ["probe"]
