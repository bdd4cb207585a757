"""A description is checked when it is made, and says what it means as a graph."""

from dataclasses import replace
from math import inf, nan

import pytest

from depthscale.errors import InvalidSpec
from depthscale.network.operations import Affine, Elementwise, Linear, Norm
from depthscale.network.spec import NetSpec


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"depth": 0}, "depth must be a whole number of at least 1, got 0"),
        ({"depth": 2.5}, "depth must be a whole number"),
        ({"width": -4}, "width must be a whole number of at least 1, got -4"),
        ({"depth": True}, "depth must be a whole number"),
        ({"activation": "rlu"}, "unknown activation 'rlu'.*relu"),
        ({"norm": "butch"}, "unknown norm 'butch'; choose one of none, batch, layer"),
        ({"statistics": "thawed"}, "choose one of batch, frozen"),
        ({"weights": "zero"}, "choose one of gaussian, orthogonal, uniform"),
        ({"activation": 3}, "an activation is a name, a callable or an Activation, got 3"),
        ({"norm": "group", "groups": 7}, "7 groups do not divide a width of 1024"),
        ({"norm": "batch", "batch": 1}, "batch of 1 has no variance; take at least 2"),
        ({"batch": 0}, "batch must be a whole number of at least 1, got 0"),
        ({"batch": nan}, "batch must be a whole number"),
        ({"batch": -inf}, "batch must be a whole number"),
        ({"sigma_w2": nan}, "sigma_w2 must be a finite number of at least 0, got nan"),
        ({"sigma_w2": inf}, "sigma_w2 must be a finite number"),
        ({"sigma_b2": -1.0}, "sigma_b2 must be a finite number of at least 0, got -1.0"),
        ({"eps": "small"}, "eps must be a finite number"),
        ({"input_variance": 0}, "input_variance must be a finite number above 0, got 0"),
        ({"gamma": nan}, "gamma must be a finite number, got nan"),
        ({"residual": "pre"}, "residual must be a Residual or None"),
    ],
)
def test_what_means_nothing_is_refused_in_words(fields: dict, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        NetSpec(**fields)


def test_a_graph_holds_what_the_description_says() -> None:
    spec = NetSpec(
        depth=2,
        width=7,
        norm="batch",
        batch=9,
        eps=0.1,
        gamma=2.0,
        beta=0.3,
        sigma_w2=1.5,
        sigma_b2=0.2,
    )
    graph = spec.graph()
    assert [op.name for op in graph.ops] == [
        "input",
        *(
            f"{name}{layer}"
            for layer in (1, 2)
            for name in ("linear", "norm", "affine", "activation")
        ),
    ]
    assert [op.inputs for op in graph.ops] == [(), *((i,) for i in range(8))]
    assert graph.ops[1].what == Linear(7, 7, 1.5, 0.2)
    assert graph.ops[2].what == Norm("batch", 9, 0.1, "batch")
    assert graph.ops[3].what == Affine(2.0, 0.3)
    assert graph.ops[4].what == Elementwise("relu")
    assert [len(layer) for layer in graph.layers()] == [1, 4, 4]
    assert [len(layer) for layer in replace(spec, norm="none").graph().layers()] == [1, 2, 2]


def test_a_record_is_plain() -> None:
    assert NetSpec(batch=inf, norm="batch").record()["batch"] == "inf"
    assert NetSpec().record()["depth"] == 10
