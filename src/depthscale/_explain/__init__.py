"""Why: arguments as records, every number in them computed."""

from depthscale.faces import face

__all__, __getattr__ = face(__file__)  # pyright: ignore[reportUnsupportedDunderAll]
