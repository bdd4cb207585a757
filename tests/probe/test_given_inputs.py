"""Inputs as people have them: each is what the tensor that they mean would have been, or one line
that says what to do."""

from collections import UserDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import depthscale as ds
from depthscale._probe import drawn_tensor
from depthscale._probe.probe import probe
from depthscale.run import Run


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(20, 4), nn.Linear(4, 20)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.head(self.table(input_ids))


X = torch.randn(4, 6, generator=torch.Generator().manual_seed(5))
Y = torch.tensor([0, 1, 2, 0])


def levels(run: Run) -> list[float]:
    return [op.log2_activation_ms for op in run]


def test_a_description_and_sizes_are_standard_normal_values(model: nn.Module) -> None:
    drawn = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))
    expected = levels(probe(model, drawn))
    for given in ("float32[4,6]", (4, 6), torch.Size((4, 6))):
        assert levels(probe(model, given, seed=3)) == expected
    assert torch.equal(drawn_tensor("float32[4,6]", 3), drawn)
    run = probe(Tokens(), "int64[2,5]<20")
    assert run.ops[-1].shape == (2, 5, 20)


def test_arrays_take_the_type_of_the_model(model: nn.Module) -> None:
    expected = levels(probe(model, X))
    assert levels(probe(model, X.numpy())) == expected
    assert levels(probe(model, X.numpy().astype(np.float64))) == expected
    assert levels(probe(model, {"input": X.numpy()})) == expected
    tokens = Tokens()
    assert levels(probe(tokens, np.array([[1, 2]]))) == levels(
        probe(tokens, torch.tensor([[1, 2]]))
    )


def test_a_pair_of_inputs_and_targets_goes_to_the_loss(model: nn.Module) -> None:
    loss = nn.CrossEntropyLoss()
    expected = probe(model, X, loss=lambda output: loss(output, Y))
    for run in (
        probe(model, (X, Y), loss=loss),
        probe(model, X, loss=loss, targets=Y),
        probe(model, X, loss=nn.functional.cross_entropy, targets=Y.numpy()),
    ):
        assert [op.log2_gradient_ms for op in run] == pytest.approx(
            [op.log2_gradient_ms for op in expected]
        )
        assert run.loss == "callable"


def test_a_loader_gives_its_first_batch_and_nothing_else_changes(model: nn.Module) -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=False)
    before = torch.get_rng_state()
    assert levels(probe(model, loader)) == levels(probe(model, X))
    run = probe(model, loader, loss=nn.CrossEntropyLoss())
    assert run.ops[-1].op == "cross_entropy"
    assert torch.equal(torch.get_rng_state(), before)
    shuffled = DataLoader(TensorDataset(X, Y), batch_size=2, shuffle=True)
    assert levels(probe(model, shuffled)) == levels(probe(model, shuffled))
    assert levels(probe(model, next(iter(loader))[:1])) == levels(probe(model, X))


def test_a_tokenizers_batch_is_a_mapping_of_tensors_or_of_lists() -> None:
    torch.manual_seed(0)
    model = Tokens()
    expected = levels(probe(model, torch.tensor([[1, 2], [3, 4]])))
    lists = {"input_ids": [[1, 2], [3, 4]], "attention_mask": [[1, 1], [1, 1]]}
    for given in (lists, UserDict(lists), UserDict({k: torch.tensor(v) for k, v in lists.items()})):
        assert levels(probe(model, given))[:2] == expected[:2]

    class Encoding:
        ids, attention_mask = [1, 2], [1, 1]

    one = levels(probe(model, torch.tensor([[1, 2]])))
    assert levels(probe(model, Encoding())) == one
    assert levels(probe(model, {"input_ids": [1, 2]})) == one


def test_the_users_tensors_and_mappings_are_left_alone(model: nn.Module) -> None:
    given = {"input": X.numpy()}
    array = given["input"].copy()
    probe(model, given)
    assert given["input"] is not X
    assert np.array_equal(given["input"], array)


@pytest.mark.parametrize(
    ("inputs", "more", "said"),
    [
        (None, {}, r"probe needs inputs: a tensor, sizes as \(8, 3, 64, 64\)"),
        ("float32(4,6)", {}, "is not understood; write dtype"),
        ("int64[4,6]", {}, "integers need a limit"),
        (X, {"loss": nn.CrossEntropyLoss()}, "CrossEntropyLoss judges outputs by targets; give"),
        (X, {"targets": Y}, "targets= goes with a loss of outputs and targets"),
        (np.array(["a"]), {}, "an input is an array of <U1; give numbers"),
        (
            {"input_ids": [[1, 2], [3]]},
            {},
            r"rows of 'input_ids' differ in length; pad them: tokenizer\(texts, padding=True",
        ),
        (DataLoader(TensorDataset(X[:0], Y[:0])), {}, "the DataLoader is empty"),
    ],
)
def test_what_is_not_understood_is_answered_in_a_line(
    inputs: object, more: dict, said: str, model: nn.Module
) -> None:
    with pytest.raises(ds.InvalidProbe, match=said) as refused:
        probe(model, inputs, **more)
    assert "\n" not in str(refused.value)


def test_a_batch_of_one_under_batch_norm_is_answered_in_a_line() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    with pytest.raises(
        ds.InvalidProbe, match=r"a batch of 1 has no variance .* \(in 1.*mode='eval'"
    ):
        probe(model, (1, 4))
    assert probe(model, (1, 4), mode="eval").mode == "eval"
