"""Records as pages, charts and tables. Charts compute nothing."""

from depthscale.faces import face

__all__, __getattr__ = face(__file__)  # pyright: ignore[reportUnsupportedDunderAll]
