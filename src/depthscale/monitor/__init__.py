"""Watching a training run: runs over steps, from the user's own backward pass."""

from depthscale.faces import face

__all__, __getattr__ = face(__file__)  # pyright: ignore[reportUnsupportedDunderAll]
