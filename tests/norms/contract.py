"""What every normalizer promises, as functions that assert: torch's autograd, central differences,
and its own two forms agree."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from depthscale.norms import reference
from depthscale.norms.circuit import Circuit, Node
from depthscale.norms.layouts import Kind, layout
from depthscale.norms.reference import Cache
from tolerances import RELATIVE

Oracle = Callable[[Tensor, Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Case:
    """A normalizer on values of one shape, and torch's word for it."""

    kind: Kind
    shape: tuple[int, ...]
    oracle: Oracle
    groups: int = 1

    def drawn(
        self, seed: int = 0, dtype: torch.dtype = torch.float64
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, gamma, beta and dout, none of them centred."""
        generator = torch.Generator().manual_seed(seed)
        affine = layout(self.kind, self.shape, self.groups).affine
        x, gamma, beta, dout = (
            torch.randn(shape, generator=generator, dtype=dtype)
            for shape in (self.shape, affine, affine, self.shape)
        )
        return 2 * x + 1, gamma + 0.5, beta, dout + 0.3

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Cache]:
        return reference.forward(self.kind, x, gamma, beta, eps, groups=self.groups)


def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    return F.batch_norm(
        x, None, None, gamma, beta, training=True, eps=eps or 1e-300
    )  # torch refuses 0


def weight_standardization(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    rows = F.layer_norm(x.flatten(1), (x[0].numel(),), eps=eps).reshape(x.shape)
    along = (-1, *[1] * (x.ndim - 1))
    return rows * gamma.reshape(along) + beta.reshape(along)


CASES = {
    "batch (N, D)": Case("batch", (7, 3), batch_norm),
    "batch (N, C, L)": Case("batch", (4, 3, 5), batch_norm),
    "batch (N, C, H, W)": Case("batch", (3, 2, 4, 2), batch_norm),
    "layer": Case(
        "layer", (4, 6), lambda x, gamma, beta, eps: F.layer_norm(x, gamma.shape, gamma, beta, eps)
    ),
    "layer (N, C, L)": Case(
        "layer",
        (2, 3, 4),
        lambda x, gamma, beta, eps: F.layer_norm(x, gamma.shape, gamma, beta, eps),
    ),
    "rms": Case(
        "rms", (4, 6), lambda x, gamma, beta, eps: F.rms_norm(x, gamma.shape, gamma, eps) + beta
    ),
    "group": Case(
        "group",
        (3, 6, 2, 2),
        lambda x, gamma, beta, eps: F.group_norm(x, 2, gamma, beta, eps),
        groups=2,
    ),
    "group (N, C)": Case(
        "group", (3, 8), lambda x, gamma, beta, eps: F.group_norm(x, 2, gamma, beta, eps), groups=2
    ),
    "instance": Case(
        "instance",
        (3, 4, 2, 3),
        lambda x, gamma, beta, eps: F.instance_norm(x, weight=gamma, bias=beta, eps=eps or 1e-300),
    ),
    "weight": Case("weight", (5, 6), weight_standardization),
    "weight of a convolution": Case("weight", (3, 2, 3, 3), weight_standardization),
}


def check_is_torchs(
    case: Case, eps: float, seed: int = 0, dtype: torch.dtype = torch.float64
) -> None:
    """Forward, and both backward forms, against torch's operation and its autograd."""
    x, gamma, beta, dout = case.drawn(seed, dtype)
    leaves = x_leaf, gamma_leaf, beta_leaf = [
        given.clone().requires_grad_() for given in (x, gamma, beta)
    ]
    theirs = case.oracle(x_leaf, gamma_leaf, beta_leaf, eps)
    out, cache = case.forward(x, gamma, beta, eps)
    near(out, theirs.detach())
    check_backward(cache, dout, torch.autograd.grad(theirs, leaves, dout))


def check_backward(cache: Cache, dout: Tensor, expected: tuple[Tensor, ...]) -> None:
    for form in (reference.backward, reference.fused_backward):
        for ours, theirs in zip(form(dout, cache), expected, strict=True):
            near(ours, theirs)


def check_central_differences(case: Case, cache: Cache, eps: float) -> None:
    """Along a random direction in each of x, gamma and beta; error: h^2 times the third derivative,
    near 1e-8 here."""
    x, gamma, beta, dout = case.drawn()
    h = 1e-4
    for i, ours in enumerate(reference.backward(dout, cache)):
        given = [x, gamma, beta]
        direction = torch.randn(
            given[i].shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64
        )
        ends = []
        for sign in (1, -1):
            moved = [*given[:i], given[i] + sign * h * direction, *given[i + 1 :]]
            ends.append(float((case.forward(moved[0], moved[1], moved[2], eps)[0] * dout).sum()))
        measured = (ends[0] - ends[1]) / (2 * h)
        assert abs(float((ours * direction).sum()) - measured) < 1e-6 * float(
            (ours * direction).abs().sum()
        )


def check_every_leaf(cache: Cache, dout: Tensor) -> None:
    """The walk against autograd through the circuit's own forward values, for each leaf, eps among
    them."""
    from depthscale.norms import circuit

    names = [name for name in cache.values if all(name != node.name for node in cache.circuit)]
    leaves = {name: cache.values[name].detach().clone().requires_grad_() for name in names}
    out = circuit.forward(cache.circuit, leaves)[cache.circuit[-1].name]
    theirs = torch.autograd.grad(out, list(leaves.values()), dout.reshape(out.shape))
    ours = cache.backprop(dout).gradients
    for name, expected in zip(names, theirs, strict=True):
        near(ours[name], expected)


def near(ours: Tensor, theirs: Tensor) -> None:
    """Equal to rounding, against the largest entry."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    assert float((ours - theirs).abs().max()) <= RELATIVE[ours.dtype] * max(
        1.0, float(theirs.abs().max())
    )


def slightly_wrong(circuit: Circuit) -> Iterator[tuple[str, Circuit]]:
    """The circuit with one local gradient 0.1 % too large, for each input of each node."""
    for at, node in enumerate(circuit):
        for i, slope in enumerate(node.local):
            wrong: Node = replace(
                node, local=(*node.local[:i], _raised(slope), *node.local[i + 1 :])
            )
            yield f"{node.name} <- {node.inputs[i]}", (*circuit[:at], wrong, *circuit[at + 1 :])


def _raised(slope: Callable[..., Tensor | float]) -> Callable[..., Tensor | float]:
    return lambda *values: slope(*values) * 1.001
