"""The normalizers, written out."""

from depthscale.norms.lecture import batchnorm_backward, batchnorm_backward_alt, batchnorm_forward

__all__ = ["batchnorm_backward", "batchnorm_backward_alt", "batchnorm_forward"]
