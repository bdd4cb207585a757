"""Every normalizer keeps the contract, and a normalizer that does not keep it is caught."""

from dataclasses import replace

import pytest
import torch

from depthscale.norms import reference
from depthscale.norms.layouts import layout
from depthscale.norms.staged import normalization
from norms.contract import (
    CASES,
    Case,
    check_backward,
    check_central_differences,
    check_every_leaf,
    check_is_torchs,
    slightly_wrong,
)

EPS = (0.0, 1e-5, 0.7)
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_case
@pytest.mark.parametrize("eps", EPS)
def test_staged_and_fused_are_torchs(case: Case, eps: float) -> None:
    check_is_torchs(case, eps)


@every_case
def test_in_single_precision_too(case: Case) -> None:
    check_is_torchs(case, 1e-5, dtype=torch.float32)


@every_case
@pytest.mark.parametrize("eps", EPS)
def test_the_walk_is_the_central_difference(case: Case, eps: float) -> None:
    check_central_differences(case, case.forward(*case.drawn()[:3], eps)[1], eps)


@every_case
def test_every_leaf_even_eps_has_its_gradient(case: Case) -> None:
    x, gamma, beta, dout = case.drawn()
    check_every_leaf(case.forward(x, gamma, beta, 0.3)[1], dout)


EDGES = [name for name, _ in slightly_wrong(normalization((0,)))]


@pytest.mark.parametrize("edge", EDGES)
@every_case
def test_a_local_gradient_wrong_by_a_thousandth_is_caught_by_every_check(
    case: Case, edge: str
) -> None:
    """For each node in turn, by the comparison with autograd and by the one with central
    differences."""
    x, gamma, beta, dout = case.drawn()
    right = case.forward(x, gamma, beta, 0.3)[1]
    wrong = dict(slightly_wrong(right.circuit)).get(
        edge.replace("centre", "x") if case.kind == "rms" else edge
    )
    if wrong is None:
        assert case.kind == "rms"  # it has neither mean nor centre
        assert edge.split(" <- ")[0] in ("mean", "centre")
        return
    cache = replace(right, circuit=wrong)
    with pytest.raises(AssertionError):
        check_every_leaf(cache, dout)
    if edge == "square root <- eps":
        return  # reaches no gradient but that of eps
    with pytest.raises(AssertionError):
        check_backward(cache, dout, reference.backward(dout, right))
    with pytest.raises(AssertionError):
        check_central_differences(case, cache, 0.3)


def test_there_are_nine_nodes_and_fourteen_edges() -> None:
    names = [node.name for node in normalization((0,))]
    assert names == [
        "mean",
        "centre",
        "square",
        "variance",
        "square root",
        "inverse",
        "normalize",
        "scale",
        "shift",
    ]
    assert len(EDGES) == 14


def test_a_group_of_one_channel_is_instance_norm_and_one_group_is_layer_norm_over_a_sample() -> (
    None
):
    x = torch.randn(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ones, zeros = torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    instance = reference.forward("instance", x, ones, zeros, 0.1)[0]
    assert torch.equal(instance, reference.forward("group", x, ones, zeros, 0.1, groups=4)[0])
    layer = reference.forward("layer", x, torch.ones(4, 5), torch.zeros(4, 5), 0.1)[0]
    assert torch.allclose(
        layer, reference.forward("group", x, ones, zeros, 0.1, groups=1)[0], rtol=1e-12, atol=1e-14
    )


def test_groups_must_divide_the_channels_and_a_kind_must_be_known() -> None:
    with pytest.raises(ValueError, match="6 channels do not divide into 4 groups"):
        layout("group", (2, 6), 4)
    with pytest.raises(ValueError, match="unknown normalizer 'bach'; there are batch, layer"):
        layout("bach", (2, 6))  # pyright: ignore[reportArgumentType]
