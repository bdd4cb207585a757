"""Mean-field theory: what a wide random network does on average, from its Graph alone."""

from depthscale.theory.classical.critical import Line, PhaseDiagram, critical_line, phase_diagram
from depthscale.theory.classical.point import Classical, batch_norm_trainable_depth, classical
from depthscale.theory.model_graph import ModelGraph, model_graph
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments
from depthscale.theory.norm import deviation, shares
from depthscale.theory.predict import predict
from depthscale.theory.traces import ends, predict_run
from depthscale.theory.walk import BETWEEN_SAMPLES, predict_graph

__all__ = [
    "BETWEEN_SAMPLES",
    "BackwardMoments",
    "Classical",
    "ForwardMoments",
    "Line",
    "ModelGraph",
    "PhaseDiagram",
    "batch_norm_trainable_depth",
    "classical",
    "critical_line",
    "deviation",
    "ends",
    "model_graph",
    "phase_diagram",
    "predict",
    "predict_graph",
    "predict_run",
    "shares",
]
