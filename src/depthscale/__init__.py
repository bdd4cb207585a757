"""depthscale: whether signal and gradient survive a network's depth, which operation changes them,
what theory says, and why.

Verbs and nouns are imported when first used, so that the command line answers `--help` without
loading torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depthscale.diagnose import Diagnosis, Finding, Thresholds, assert_propagation, diagnose
    from depthscale.errors import (
        DepthscaleError,
        InvalidProbe,
        InvalidRecord,
        InvalidSpec,
        NoTheory,
        PropagationFailed,
        Undefined,
        UnreliableGrowth,
    )
    from depthscale.explain.trace import Explanation, explain
    from depthscale.measure import (
        Comparison,
        Growth,
        Ledger,
        TraceComparison,
        compare,
        growth,
        ledger,
    )
    from depthscale.nets import simulate
    from depthscale.norms import batchnorm_backward, batchnorm_backward_alt, batchnorm_forward
    from depthscale.probe import probe
    from depthscale.profile import Profile, Quantity
    from depthscale.report.show import chart, report
    from depthscale.sketch import Sketch
    from depthscale.spec import NetSpec, Residual
    from depthscale.store import load, save
    from depthscale.theory import predict, predict_graph
    from depthscale.theory.classical import Classical, classical
    from depthscale.theory.critical import critical_line, phase_diagram
    from depthscale.trace import Trace

_HOMES = {
    "Classical": "theory.classical",
    "Comparison": "measure",
    "DepthscaleError": "errors",
    "Diagnosis": "diagnose",
    "Explanation": "explain.trace",
    "Finding": "diagnose",
    "Growth": "measure",
    "InvalidProbe": "errors",
    "InvalidRecord": "errors",
    "InvalidSpec": "errors",
    "Ledger": "measure",
    "NetSpec": "spec",
    "NoTheory": "errors",
    "Profile": "profile",
    "PropagationFailed": "errors",
    "Quantity": "profile",
    "Residual": "spec",
    "Sketch": "sketch",
    "Thresholds": "diagnose",
    "Trace": "trace",
    "TraceComparison": "measure",
    "Undefined": "errors",
    "UnreliableGrowth": "errors",
    "assert_propagation": "diagnose",
    "batchnorm_backward": "norms",
    "batchnorm_backward_alt": "norms",
    "batchnorm_forward": "norms",
    "chart": "report.show",
    "classical": "theory.classical",
    "compare": "measure",
    "critical_line": "theory.critical",
    "diagnose": "diagnose",
    "explain": "explain.trace",
    "growth": "measure",
    "ledger": "measure",
    "load": "store",
    "phase_diagram": "theory.critical",
    "predict": "theory",
    "predict_graph": "theory",
    "probe": "probe",
    "report": "report.show",
    "save": "store",
    "simulate": "nets",
}

__all__ = [
    "Classical",
    "Comparison",
    "DepthscaleError",
    "Diagnosis",
    "Explanation",
    "Finding",
    "Growth",
    "InvalidProbe",
    "InvalidRecord",
    "InvalidSpec",
    "Ledger",
    "NetSpec",
    "NoTheory",
    "Profile",
    "PropagationFailed",
    "Quantity",
    "Residual",
    "Sketch",
    "Thresholds",
    "Trace",
    "TraceComparison",
    "Undefined",
    "UnreliableGrowth",
    "assert_propagation",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "batchnorm_forward",
    "chart",
    "classical",
    "compare",
    "critical_line",
    "diagnose",
    "explain",
    "growth",
    "ledger",
    "load",
    "phase_diagram",
    "predict",
    "predict_graph",
    "probe",
    "report",
    "save",
    "simulate",
]


class _Package(ModuleType):
    """A package in which a verb and the folder that holds it may share a name: `depthscale.probe`
    is the verb.

    Importing a folder makes it an attribute of its package; that would hide the verb, so it is not
    done for these names.
    """

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
