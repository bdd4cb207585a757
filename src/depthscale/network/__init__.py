"""What a network is: its operations, the graph that they make, and the descriptions of both."""

from depthscale.network.activations import Activation, Function, Phi, activation, shifted
from depthscale.network.graph import Graph, Op, RecordedCall, Submodule, dominators_between, label
from depthscale.network.hazards import Hazard, hazard_of
from depthscale.network.meaning import Meaning
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
from depthscale.network.residual import Residual
from depthscale.network.spec import NetSpec
from depthscale.network.torch_calls import (
    Judged,
    is_derivative,
    is_elementwise,
    is_embedding,
    is_input,
    is_norm,
    is_product,
    is_scatter,
    judged_by,
)
from depthscale.network.torch_ops import is_split, meanings, norm_of, parameter_input
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
    "Hazard",
    "Input",
    "Judged",
    "Linear",
    "Meaning",
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
    "RecordedCall",
    "Residual",
    "SpecNorm",
    "Submodule",
    "Unknown",
    "Window",
    "activation",
    "dominators_between",
    "hazard_of",
    "is_derivative",
    "is_elementwise",
    "is_embedding",
    "is_input",
    "is_norm",
    "is_product",
    "is_scatter",
    "is_split",
    "judged_by",
    "label",
    "meanings",
    "name_and_parameter",
    "norm_of",
    "parameter_input",
    "shifted",
]
