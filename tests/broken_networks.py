"""Networks that are not what the argument assumes: their weights, and runs by torch alone, recorded
as tapes."""

from collections.abc import Callable

from torch import Tensor

from depthscale._explain.forward_backward import Tape, gradients
from depthscale.nets.draw import Loss, draw_input, draw_rows, output_gradient
from depthscale.nets.elementwise import elementwise
from depthscale.nets.execute import normalize
from depthscale.network.operations import Elementwise, Linear, Norm
from depthscale.network.spec import NetSpec

Weight = Callable[[NetSpec, int, int], Tensor]
Cotangent = Callable[[NetSpec, int, Tensor], Tensor]


def draw_weight(spec: NetSpec, seed: int, layer: int) -> Tensor:
    """The weights that a network of that description has."""
    return draw_rows(Linear(spec.width, spec.width, spec.sigma_w2, 0.0, spec.weights), seed, layer)


def correlated(spec: NetSpec, seed: int, layer: int) -> Tensor:
    """Weights of the right variance whose rows share a part with one sign, so that they add up
    along a column."""
    free = draw_weight(spec, seed, layer)
    return 0.7 * free + 0.714 * free.mean(1, keepdim=True) * spec.width**0.5


def tied(spec: NetSpec, seed: int, layer: int) -> Tensor:
    """Every layer with the first one's weights, transposed in turn."""
    weight = draw_weight(spec, seed, 1)
    return weight.T if layer % 2 else weight


def built(
    weight: Weight = draw_weight, cotangent: Cotangent | None = None
) -> Callable[[NetSpec, int, Loss], Tape]:
    """A run as `growth_argument` takes it, of networks with those weights and gradients at the
    output."""

    def run(spec: NetSpec, seed: int, loss: Loss) -> Tape:
        graph = spec.graph()
        values = [draw_input(spec, seed).requires_grad_()]
        for op in graph.ops[1:]:
            x = values[op.inputs[0]]
            match op.what:
                case Linear():
                    values.append(x @ weight(spec, seed, op.layer).T)
                case Norm():
                    values.append(normalize(op.what, x))
                case Elementwise(name):
                    values.append(elementwise(name).phi(x))
        output = values[-1].detach()
        at_output = (
            cotangent(spec, seed, output)
            if cotangent
            else output_gradient(spec, seed, loss, output)
        )
        return Tape(graph, [each.detach() for each in values], gradients(graph, values, at_output))

    return run
