"""depthscale: whether signal and gradient survive a network's depth, which operation changes them, what theory says, and why.

Verbs and nouns are imported when first used, so that the command line answers `--help` without loading torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depthscale.errors import DepthscaleError, InvalidRecord, InvalidSpec, NoTheory, Undefined, UnreliableGrowth
    from depthscale.measure import Comparison, Growth, compare, growth
    from depthscale.nets import simulate
    from depthscale.profile import Profile, Quantity
    from depthscale.report.show import chart, report
    from depthscale.sketch import Sketch
    from depthscale.spec import NetSpec, Residual
    from depthscale.store import load, save
    from depthscale.theory import predict
    from depthscale.theory.classical import Classical, classical
    from depthscale.theory.critical import critical_line, phase_diagram

_HOMES = {
    "Classical": "theory.classical",
    "Comparison": "measure",
    "DepthscaleError": "errors",
    "Growth": "measure",
    "InvalidRecord": "errors",
    "InvalidSpec": "errors",
    "NetSpec": "spec",
    "NoTheory": "errors",
    "Profile": "profile",
    "Quantity": "profile",
    "Residual": "spec",
    "Sketch": "sketch",
    "Undefined": "errors",
    "UnreliableGrowth": "errors",
    "chart": "report.show",
    "classical": "theory.classical",
    "compare": "measure",
    "critical_line": "theory.critical",
    "growth": "measure",
    "load": "store",
    "phase_diagram": "theory.critical",
    "predict": "theory",
    "report": "report.show",
    "save": "store",
    "simulate": "nets",
}

__all__ = [
    "Classical",
    "Comparison",
    "DepthscaleError",
    "Growth",
    "InvalidRecord",
    "InvalidSpec",
    "NetSpec",
    "NoTheory",
    "Profile",
    "Quantity",
    "Residual",
    "Sketch",
    "Undefined",
    "UnreliableGrowth",
    "chart",
    "classical",
    "compare",
    "critical_line",
    "growth",
    "load",
    "phase_diagram",
    "predict",
    "report",
    "save",
    "simulate",
]


class _Package(ModuleType):
    """Here a verb keeps its name although a folder has it too: importing depthscale.report leaves `report` the function."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"depthscale has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"depthscale.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
