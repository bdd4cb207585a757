"""A record that a notebook draws."""

from importlib import import_module


class Drawable:
    """How a record looks in a notebook. The report draws it and is asked by name, when a notebook
    asks, so that no record depends on it."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return import_module("depthscale._report.render").notebook(self)
