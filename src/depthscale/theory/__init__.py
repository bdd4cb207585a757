"""Mean-field theory: what a wide random network does on average, from its Graph alone."""

from depthscale.theory.predict import predict
from depthscale.theory.traces import ends, predict_run
from depthscale.theory.walk import predict_graph

__all__ = ["ends", "predict", "predict_graph", "predict_run"]
