"""depthscale: whether signal and gradient survive a network's depth, which operation changes them, what theory says, and why.

Verbs and nouns are imported when first used, so that the command line answers `--help` without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depthscale.measure import Comparison, Growth, compare, growth
    from depthscale.nets import simulate
    from depthscale.profile import Profile, Quantity
    from depthscale.sketch import Sketch
    from depthscale.spec import NetSpec
    from depthscale.store import load, save
    from depthscale.theory import predict

_HOMES = {
    "Comparison": "measure",
    "Growth": "measure",
    "NetSpec": "spec",
    "Profile": "profile",
    "Quantity": "profile",
    "Sketch": "sketch",
    "compare": "measure",
    "growth": "measure",
    "load": "store",
    "predict": "theory",
    "save": "store",
    "simulate": "nets",
}

__all__ = [
    "Comparison",
    "Growth",
    "NetSpec",
    "Profile",
    "Quantity",
    "Sketch",
    "compare",
    "growth",
    "load",
    "predict",
    "save",
    "simulate",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"depthscale has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"depthscale.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
