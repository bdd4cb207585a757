"""Recurrent networks: one cell that is used at every step of a sequence."""

from depthscale.measure import Analysis
from depthscale.run import DepthKind

ADVICE = (
    "make the recurrent weights orthogonal (torch.nn.init.orthogonal_ on each gate's square block "
    "of weight_hh; arXiv:1312.6120) "
    "and, where there are gates, open them towards the past: an LSTM's forget bias of 1 or more, "
    "a GRU's update bias likewise "
    "(Jozefowicz et al. 2015)"
)


def is_recurrent(case: Analysis) -> bool:
    """Whether a step of depth is the use of one module that comes again, a second time and with the
    same parameters."""
    return case.depth is not None and case.depth.kind is DepthKind.USES
