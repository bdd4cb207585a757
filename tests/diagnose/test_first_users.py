"""What first users found missing or wrong: each with a twin that is silent."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import depthscale as ds
from depthscale.errors import InvalidProbe
from known_networks import he

WIDTH, BATCH = 32, 64


def x() -> Tensor:
    return torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(0))


def found(
    model: nn.Module, rule: str, inputs: Tensor | None = None, **probing
) -> ds.Finding | None:
    findings = ds.diagnose(ds.probe(model, x() if inputs is None else inputs, **probing))
    return next(iter(findings.matching((rule,))), None)


def stack(*last: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(he(WIDTH, WIDTH), nn.ReLU(), he(WIDTH, 8), *last)


class Tagger(nn.Module):
    """Log-probabilities over some axis of (batch, time, classes)."""

    def __init__(self, axis: int):
        super().__init__()
        self.head, self.axis = he(WIDTH, 8), axis

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.head(x), self.axis).transpose(1, 2)


@pytest.mark.parametrize(("axis", "wrong"), [(1, True), (2, False)])
def test_log_probabilities_over_another_axis_than_the_classes(axis: int, wrong: bool) -> None:
    sequence = torch.randn(4, 16, WIDTH)
    labels = torch.arange(64).reshape(4, 16) % 8
    finding = found(Tagger(axis), "loss-input", sequence, loss=lambda out: F.nll_loss(out, labels))
    assert (finding is not None) is wrong
    if finding is not None:
        assert finding.severity == "error"
        assert "log_softmax over the classes' axis" in finding.advice


@pytest.mark.parametrize(("last", "wrong"), [(nn.ReLU(), True), (nn.Identity(), False)])
def test_negative_targets_behind_a_rectifier(last: nn.Module, wrong: bool) -> None:
    targets = -torch.rand(BATCH, 8)
    finding = found(stack(last), "targets-scale", loss=lambda out: F.mse_loss(out, targets))
    assert (finding is not None) is wrong


def test_shapes_and_labels_are_told_of_a_record_that_comes_back(tmp_path: Path) -> None:
    targets = torch.randn(BATCH)
    model = nn.Sequential(he(WIDTH, 1))
    with pytest.warns(UserWarning, match="target size"):
        run = ds.probe(model, x(), loss=lambda out: F.mse_loss(out, targets))
    ds.save(run, tmp_path / "run.json")
    (before,), (after,) = (
        ds.diagnose(each).matching(("loss-shapes",))
        for each in (run, ds.load(tmp_path / "run.json"))
    )
    assert before.says == after.says
    assert "shape (64, 1) and a target of shape (64,)" in after.says


@pytest.mark.parametrize("bias", [200.0, 0.0])
def test_a_sigmoid_at_its_end_is_saturated(bias: float) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.gate, self.body = nn.Linear(WIDTH, WIDTH), he(WIDTH, WIDTH)
            nn.init.constant_(self.gate.bias, bias)

        def forward(self, x: Tensor) -> Tensor:
            return self.gate(x).sigmoid() * self.body(x)

    finding = found(Gated(), "gradient-deleted")
    assert (finding is not None) is bool(bias)
    if finding is not None:
        assert (finding.where, "flat" in finding.says) == ("sigmoid", True)
        assert "biases" in finding.advice


def test_a_cross_entropy_over_one_class_says_so() -> None:
    torch.manual_seed(0)
    labels = torch.zeros(BATCH, dtype=torch.long)
    model = nn.Sequential(he(WIDTH, WIDTH), nn.ReLU(), he(WIDTH, 1))
    finding = found(model, "gradient-deleted", loss=lambda out: F.cross_entropy(out, labels))
    assert finding is not None
    assert "over one class" in finding.says
    assert "binary_cross_entropy_with_logits" in finding.advice


def test_a_rounding_that_gives_zeros_is_told_from_dead_units() -> None:
    class Rounds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(WIDTH, WIDTH)
            nn.init.normal_(self.fc.weight, std=1e-3)
            nn.init.zeros_(self.fc.bias)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x).round()

    finding = found(Rounds(), "gradient-deleted")
    assert finding is not None
    assert "constant between its steps" in finding.says
    assert "straight-through" in finding.advice


class Beside(nn.Module):
    """A part that runs and is left out of the output."""

    def __init__(self, used: bool):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.lost, self.used = he(WIDTH, WIDTH), he(WIDTH, WIDTH), used

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.body(x))
        lost = self.lost(h)
        return h + lost if self.used else torch.cat([h, h], -1)


@pytest.mark.parametrize("used", [True, False])
def test_much_that_does_not_lead_to_the_output_is_a_remark(used: bool) -> None:
    finding = found(Beside(used), "parameters-unused")
    assert (finding is None) is used
    assert finding is None or (finding.severity, finding.where) == ("info", "lost.weight")


def test_an_optimizer_of_another_model_is_an_error_and_of_a_part_a_warning() -> None:
    model, other = stack(), stack()
    for parameters, severity in (
        (other.parameters(), "error"),
        (model[0].parameters(), "warn"),
        (model.parameters(), None),
    ):
        optimizer = torch.optim.SGD(parameters, 0.1)
        finding = found(model, "parameter-not-optimized", optimizer=optimizer)
        assert (None if finding is None else finding.severity) == severity


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize(("scale", "wrong"), [(1e4, True), (1.0, False)])
def test_one_column_that_drowns_the_others_warns_behind_a_norm_too(
    normalized: bool, scale: float, wrong: bool
) -> None:
    table = x()
    table[:, 3] *= scale
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(WIDTH) if normalized else nn.Identity()
    model = nn.Sequential(he(WIDTH, WIDTH), norm, nn.ReLU(), he(WIDTH, 8))
    finding = found(model, "inputs-scale", table)
    assert (finding is not None and finding.severity == "warn") is wrong
    assert finding is None or "each feature" in finding.advice


def test_an_output_that_is_a_comparison_is_named() -> None:
    class Thresholds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = he(WIDTH, 8)

        def forward(self, x: Tensor) -> Tensor:
            return (self.fc(x).sigmoid() > 0.5).float()

    with pytest.raises(InvalidProbe, match="an index or a comparison"):
        ds.probe(Thresholds(), x())


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (lambda model: torch.optim.SGD(model.parameters(), 0.1), "goes with a model"),
        (lambda model: torch.optim.SGD, "must be a torch.optim.Optimizer"),
    ],
)
def test_optimizers_that_hold_nothing_are_refused(
    optimizer: Callable[[nn.Module], object], says: str
) -> None:
    with pytest.raises(InvalidProbe, match=says):
        ds.probe(stack, x(), optimizer=optimizer(stack()))  # type: ignore[arg-type]
