"""What a network is: its operations, the graph that they make, and the descriptions of both."""

from depthscale.network.activations import Activation, Function, Phi, activation, shifted
from depthscale.network.graph import Graph, Op
from depthscale.network.names import name_and_parameter
from depthscale.network.operations import (
    Add,
    Affine,
    Attention,
    Conv,
    Dropout,
    Elementwise,
    Embedding,
    Flatten,
    Input,
    Linear,
    Norm,
    Operation,
    Part,
    Pool,
    Unknown,
)
from depthscale.network.spec import NORMS, NetSpec, Residual
from depthscale.network.window import Window

__all__ = [
    "NORMS",
    "Activation",
    "Add",
    "Affine",
    "Attention",
    "Conv",
    "Dropout",
    "Elementwise",
    "Embedding",
    "Flatten",
    "Function",
    "Graph",
    "Input",
    "Linear",
    "NetSpec",
    "Norm",
    "Op",
    "Operation",
    "Part",
    "Phi",
    "Pool",
    "Residual",
    "Unknown",
    "Window",
    "activation",
    "name_and_parameter",
    "shifted",
]
