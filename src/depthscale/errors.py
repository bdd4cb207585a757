"""The exceptions of depthscale: each says what was asked, what is wrong and what to do."""


class DepthscaleError(Exception):
    """Base of every error that depthscale raises on purpose; its text is fit to be shown to a
    person."""


class UnsupportedTensor(DepthscaleError, TypeError):
    """A tensor of a kind that cannot be worked with here (complex, integer, sparse, ...)."""


class InvalidInput(DepthscaleError, ValueError):
    """Values, shapes or settings for which a computation has no answer; the text names the one that
    is wrong."""


class InvalidSpec(DepthscaleError, ValueError):
    """A description of a network, or a setting of a run, that means nothing."""


class Undefined(DepthscaleError, ArithmeticError):
    """A network whose values are not numbers: the text names the layer and the reason."""


class NoTheory(DepthscaleError, NotImplementedError):
    """A setting for which no formula is implemented; the text names the setting."""


class Divergent(DepthscaleError, ArithmeticError):
    """An expectation that is infinite, undefined, or larger than float64 holds."""


class InvalidRecord(DepthscaleError, ValueError):
    """A saved record that is damaged, of a newer schema, or not a record."""


class UnwritablePath(DepthscaleError, OSError):
    """A place that was named for results and cannot be written."""


class NoPicture(DepthscaleError, TypeError):
    """Something of which there is no page or chart."""


class MissingPackage(DepthscaleError, ImportError):
    """A package that is not needed to install depthscale and was asked for; the text names the line
    that installs it."""


class UnreliableGrowth(DepthscaleError, ValueError):
    """A growth rate that the data do not carry.

    estimate: the Growth that was found all the same, or None where there is none at all.
    needed: in words, what would make it reliable.
    """

    def __init__(self, message: str, *, estimate=None, needed: str = ""):
        super().__init__(message)
        self.estimate = estimate
        self.needed = needed


class InvalidProbe(DepthscaleError, ValueError):
    """A model, input or setting that cannot be probed; the text says what to change."""


class TrainingStopped(DepthscaleError, RuntimeError):
    """A finding that a monitor was told to stop on; the text names the step and the finding."""


class PropagationFailed(DepthscaleError, AssertionError):
    """A rate of growth beyond what a test allows; the text names the operation that makes it."""
