"""What a network is: its operations, the graph that they make, and the descriptions of both."""

from depthscale.network.activations import Activation, Function, Phi, activation, shifted
from depthscale.network.graph import Graph, Op
from depthscale.network.names import name_and_parameter
from depthscale.network.normalizers import (
    NORM_CALLS,
    NORMALIZERS,
    SPEC_NORMS,
    Normalizer,
    NormCall,
    NormKind,
    SpecNorm,
)
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
from depthscale.network.spec import NetSpec, Residual
from depthscale.network.window import Window

__all__ = [
    "NORMALIZERS",
    "NORM_CALLS",
    "SPEC_NORMS",
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
    "NormCall",
    "NormKind",
    "Normalizer",
    "Op",
    "Operation",
    "Part",
    "Phi",
    "Pool",
    "Residual",
    "SpecNorm",
    "Unknown",
    "Window",
    "activation",
    "name_and_parameter",
    "shifted",
]
