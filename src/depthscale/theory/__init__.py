"""Mean-field theory: what a wide random network does on average, from its Graph alone."""

from depthscale.theory.predict import predict
from depthscale.theory.traces import TracePrediction, predict_operations
from depthscale.theory.walk import Predicted, Walk, predict_graph

__all__ = ["Predicted", "TracePrediction", "Walk", "predict", "predict_graph", "predict_operations"]
