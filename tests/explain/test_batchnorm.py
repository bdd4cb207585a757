"""The record of the walk: its formulas give its numbers, and its checks can fail."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from depthscale._explain.batchnorm import BatchnormWalk, explain_batchnorm, random_input
from depthscale._explain.batchnorm_text import WORDS
from depthscale.errors import DepthscaleError
from depthscale.norms.staged import normalization

RECORDS = {
    "eps 1e-5": explain_batchnorm(random_input(4, 3, 0), gamma=(1.5,), beta=(0.5,)),
    "eps 0": explain_batchnorm(random_input(5, 2, 1), gamma=(0.5, -2.0), eps=0, neuron=1),
    "eps 2, images": explain_batchnorm(
        random_input(24, 2, 2).reshape(4, 3, 2, 2), beta=(1, 2, 3), eps=2, neuron=2
    ),
}
every_record = pytest.mark.parametrize("walk", RECORDS.values(), ids=RECORDS)


def letters(walk: BatchnormWalk) -> dict[str, Any]:
    """Every letter's numbers, with dE/dx under d_x."""
    arrays = {name: np.array(numbers) for name, numbers in walk.leaves.items()}
    arrays |= {step.symbol: np.array(step.numbers) for step in walk.steps}
    arrays |= {f"d_{step.symbol}": np.array(step.arriving) for step in walk.steps}
    arrays |= {f"d_{name}": np.array(numbers) for name, numbers in walk.gradients.items()}
    return arrays | {"N": walk.samples, "eps": walk.eps, "sqrt": np.sqrt, "sum": np.sum}


def value(formula: str, walk: BatchnormWalk) -> np.ndarray:
    """The formula as arithmetic."""
    return np.atleast_1d(eval(re.sub(r"\bd\((\w+)\)", r"d_\1", formula), letters(walk)))


@every_record
def test_every_formula_gives_the_numbers_that_stand_beside_it(walk: BatchnormWalk) -> None:
    for step in walk.steps:
        np.testing.assert_allclose(value(step.value, walk), step.numbers, rtol=1e-10, atol=1e-14)
        for flow in step.flows:
            np.testing.assert_allclose(value(flow.local, walk), flow.local_numbers, rtol=1e-12)
            expected = np.broadcast_to(value(flow.value, walk), len(flow.numbers))
            np.testing.assert_allclose(expected, flow.numbers, rtol=1e-10, atol=1e-13)


@every_record
def test_dx_is_autograds(walk: BatchnormWalk) -> None:
    """One neuron alone, from its numbers in the record."""
    x, gamma, beta = (
        torch.tensor(walk.leaves[name], dtype=torch.float64).requires_grad_()
        for name in ("x", "gamma", "beta")
    )
    out = F.batch_norm(x[:, None], None, None, gamma, beta, training=True, eps=walk.eps or 1e-300)
    theirs = torch.autograd.grad(
        out[:, 0], (x, gamma, beta), torch.tensor(walk.dout, dtype=torch.float64)
    )
    for name, expected in zip(("x", "gamma", "beta"), theirs, strict=True):
        np.testing.assert_allclose(walk.gradients[name], expected, rtol=1e-10, atol=1e-12)


@every_record
def test_every_check_holds_and_its_formula_has_the_sides_it_reports(walk: BatchnormWalk) -> None:
    for check in walk.checks:
        left, right = (value(side, walk) for side in check.formula.split("=="))
        assert float(np.abs(left - right).max()) <= check.rounding
        assert float(np.abs(right).max()) == pytest.approx(
            abs(check.predicted), rel=1e-10, abs=check.rounding
        )
        assert check.holds
        assert not replace(
            check, measured=check.predicted + 1e-3 * (1 + abs(check.predicted))
        ).holds


def test_dx_is_orthogonal_to_x_hat_for_eps_0_and_not_for_eps_2() -> None:
    assert RECORDS["eps 0"].checks[2].predicted == 0
    assert abs(RECORDS["eps 2, images"].checks[2].measured) > 0.01


def test_the_words_are_of_the_circuits_nodes_and_the_steps_run_from_nine_to_one() -> None:
    assert list(WORDS) == [node.name for node in normalization((0,))]
    for node in normalization((0,)):
        words = WORDS[node.name]
        assert len(words.local) == len(words.flows) == len(words.names) == len(node.inputs)
    assert [step.step for step in RECORDS["eps 0"].steps] == list(range(9, 0, -1))


def test_the_flows_have_the_names_of_the_staged_code() -> None:
    """source: Kratzert 2016, steps 9 to 0."""
    names = [[flow.name for flow in step.flows] for step in RECORDS["eps 0"].steps]
    assert names == [
        ["dgammax", "dbeta"],
        ["dgamma", "dxhat"],
        ["dxmu1", "divar"],
        ["dsqrtvar"],
        ["dvar"],
        ["dsq"],
        ["dxmu2"],
        ["dx1", "dmu"],
        ["dx2"],
    ]


@every_record
def test_the_shares_are_those_of_the_flows(walk: BatchnormWalk) -> None:
    flows = {flow.name: np.array(flow.numbers) for step in walk.steps for flow in step.flows}
    direct = np.square(flows["dxmu1"]).sum()
    for way, name in (("mean", "dx2"), ("variance", "dxmu2")):
        assert walk.shares[f"through_{way}"] == pytest.approx(
            np.square(flows[name]).sum() / direct, rel=1e-9
        )


@every_record
def test_each_wire_has_its_value_and_its_gradient(walk: BatchnormWalk) -> None:
    """What flows to a value along all its wires is what arrives there."""
    edges = walk.edges()
    assert len(edges) == 14  # 13 into nodes, without eps, and the one to y
    for step in walk.steps:
        out = [
            np.broadcast_to(g, len(step.arriving))
            for (start, _), (_, g) in edges.items()
            if start == step.node
        ]
        np.testing.assert_allclose(sum(out), step.arriving, rtol=1e-12, atol=1e-15)


def test_seeds_and_given_gradients() -> None:
    x = random_input(4, 3, 0)
    assert explain_batchnorm(x, seed=1).dout != explain_batchnorm(x, seed=2).dout
    assert explain_batchnorm(x, seed=1).dout == explain_batchnorm(x, seed=1).dout
    assert explain_batchnorm(x, np.arange(12).reshape(4, 3), neuron=1).dout == (1, 4, 7, 10)


def test_one_sample_and_no_gradient_have_a_record_too() -> None:
    one = explain_batchnorm(random_input(1, 2, 0))
    assert one.gradients["x"] == (0.0,)
    assert all(check.holds for check in one.checks)
    still = explain_batchnorm(random_input(4, 2, 0), np.zeros((4, 2)))
    assert all(check.holds for check in still.checks)
    assert np.isnan(still.shares["through_mean"])


@pytest.mark.parametrize("far", [1e3, 1e8, 1e-8])
def test_checks_hold_where_values_cancel(far: float) -> None:
    x = random_input(10_000, 2, 0) + far
    assert all(check.holds for check in explain_batchnorm(x, eps=0).checks)
    assert all(check.holds for check in explain_batchnorm(x * far, eps=1e-3, gamma=(100.0,)).checks)


@pytest.mark.parametrize(
    ("x", "settings", "says"),
    [
        (np.ones((4, 3)), {"eps": 0}, "variance \\+ eps of neuron 0 is 0"),
        (np.ones(4), {}, "got \\(4,\\)"),
        (np.ones(()), {}, "got \\(\\)"),
        (np.ones((0, 3)), {}, "none of them 0"),
        (np.ones((4, 3), complex), {}, "x must hold real numbers, got complex128"),
        (np.array([["a"]]), {}, "x must hold real numbers, got <U1"),
        (np.array([[np.nan, 1]]), {}, "x holds NaN or infinity"),
        (np.eye(3), {"dout": np.ones((3, 4))}, "dout must be of shape \\(3, 3\\)"),
        (np.eye(3), {"dout": np.full((3, 3), np.inf)}, "dout holds NaN or infinity"),
        (
            np.eye(3),
            {"gamma": (1, 2)},
            "gamma must be one number, or one for each of the 3 neurons, got 2",
        ),
        (np.eye(3), {"beta": (np.nan,)}, "beta holds NaN"),
        (np.eye(3), {"neuron": 3}, "neurons 0 to 2, none numbered 3"),
        (np.eye(3), {"neuron": -1}, "none numbered -1"),
        (np.eye(3), {"eps": -1}, "eps must be"),
        (np.eye(3), {"seed": -1}, "seed must be a whole number from 0"),
    ],
)
def test_what_has_no_record_is_refused_by_name(
    x: np.ndarray, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(DepthscaleError, match=says):
        explain_batchnorm(x, **settings)
