"""Runs as files, and the JSON objects of the commands."""

from depthscale.faces import face

__all__, __getattr__ = face(__file__)  # pyright: ignore[reportUnsupportedDunderAll]
