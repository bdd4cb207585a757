"""The normalizers, written out."""

from depthscale.norms.circuit import NodeStep
from depthscale.norms.lecture import batchnorm_backward, batchnorm_backward_alt, batchnorm_forward
from depthscale.norms.norm_terms import Constants, correlation, norm_terms
from depthscale.norms.reference import Cache

__all__ = [
    "Cache",
    "Constants",
    "NodeStep",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "batchnorm_forward",
    "correlation",
    "norm_terms",
]
