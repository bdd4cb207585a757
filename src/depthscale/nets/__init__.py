"""Random networks from their description: one torch module, or a fast ensemble over seeds."""

from depthscale.nets.draw import LOSSES, Loss, draw_input, draw_rows, output_gradient
from depthscale.nets.elementwise import elementwise
from depthscale.nets.execute import evaluate
from depthscale.nets.limits import check_run
from depthscale.nets.module import build
from depthscale.nets.seen import Seen
from depthscale.nets.simulate import Progress, simulate

__all__ = [
    "LOSSES",
    "Loss",
    "Progress",
    "Seen",
    "build",
    "check_run",
    "draw_input",
    "draw_rows",
    "elementwise",
    "evaluate",
    "output_gradient",
    "simulate",
]
