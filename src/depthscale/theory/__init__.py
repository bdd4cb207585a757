"""Mean-field theory: what a wide random network does on average, from its Graph alone."""

from depthscale.theory.predict import predict

__all__ = ["predict"]
