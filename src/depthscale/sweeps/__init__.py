"""Sweeps: cells of a grid, each a network made, measured and kept; on processes or on Ray."""

from depthscale.faces import face

__all__, __getattr__ = face(__file__)  # pyright: ignore[reportUnsupportedDunderAll]
