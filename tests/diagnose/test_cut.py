"""A gradient that is cut is an error by what it takes with it; stop-gradients that are usual
practice are none."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, one_hot

import depthscale as ds
from known_networks import he

WIDTH = 32


def stack(depth: int) -> nn.Sequential:
    return nn.Sequential(*(part for _ in range(depth) for part in (he(WIDTH, WIDTH), nn.ReLU())))


class Halves(nn.Module):
    """join(first, second, x): as a rule second(cut(first(x)))."""

    def __init__(self, join: Callable[["Halves", Tensor], Tensor]):
        super().__init__()
        self.first, self.second, self.join = stack(6), stack(6), join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self, x)


def without_grad(part: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return part(x)


def quantized(net: Halves, x: Tensor) -> Tensor:
    h = net.first(x)
    return net.second(h + (h.round() - h).detach())


def truncated(net: Halves, x: Tensor) -> Tensor:
    for _ in range(3):
        x = net.first(net.first(x).detach())
    return net.second(x)


def chosen(h: Tensor) -> Tensor:
    return one_hot(h.argmax(-1), WIDTH).float()


def cut(join: Callable[[Halves, Tensor], Tensor], freeze: bool = False) -> ds.Finding | None:
    torch.manual_seed(0)
    net = Halves(join)
    net.first.requires_grad_(not freeze)
    found = ds.diagnose(ds.probe(net, torch.randn(16, WIDTH))).matching(("gradient-cut",))
    return found[0] if found else None


ACROSS: dict[str, tuple[Callable[[Halves, Tensor], Tensor], str]] = {
    "detach": (lambda net, x: net.second(net.first(x).detach()), "detach"),
    ".data": (lambda net, x: net.second(net.first(x).data), "detach"),
    "no_grad": (lambda net, x: net.second(without_grad(net.first, x)), "no_grad"),
    "argmax": (lambda net, x: net.second(chosen(net.first(x))), "argmax"),
    "numpy": (lambda net, x: net.second(torch.from_numpy(net.first(x).detach().numpy())), "numpy"),
    "a list": (lambda net, x: net.second(torch.tensor(net.first(x).tolist())), "tolist"),
}


@pytest.mark.parametrize("how", ACROSS)
def test_a_cut_across_the_network_is_an_error_that_says_what_gets_none(how: str) -> None:
    join, said = ACROSS[how]
    found = cut(join)
    assert found is not None
    assert found.severity == "error"
    assert found.where == "second.0"
    assert said in found.says
    assert "no gradient reaches first.0 ... first.10" in found.says
    assert found.evidence["operations"] == 6
    assert found.evidence["share"] == pytest.approx(0.5)


def test_a_cut_leads_the_verdict_and_the_gradient_is_as_autograd_says() -> None:
    net, x = Halves(ACROSS["detach"][0]), torch.randn(16, WIDTH)
    found = ds.diagnose(ds.probe(net, x))
    assert found.verdict.startswith(
        "no gradient reaches first.0 ... first.10: it stops at detach in front of second.0"
    )
    net(x).sum().backward()
    assert all(p.grad is None for p in net.first.parameters())
    assert all(p.grad is not None for p in net.second.parameters())


PRACTICE: dict[str, Callable[[Halves, Tensor], Tensor]] = {
    "no cut": lambda net, x: net.second(net.first(x)),
    "a straight-through estimate": quantized,
    "a weight of the loss": lambda net, x: (
        net.second(h := net.first(x)) * h.abs().mean(-1, keepdim=True).detach()
    ),
    "the same weights beside themselves": lambda net, x: (
        net.second(net.first(x)) - without_grad(net.first, x)
    ),
    "truncated backpropagation through time": truncated,
    "a mask": lambda net, x: net.second(h := net.first(x)) * (h > 0),
    "input that needs none": lambda net, x: net.second(net.first(x.detach())),
}


@pytest.mark.parametrize("how", PRACTICE)
def test_stop_gradients_by_which_nothing_is_lost_are_no_finding(how: str) -> None:
    assert cut(PRACTICE[how]) is None


def test_a_target_network_beside_the_trained_one_is_a_warning_and_frozen_none() -> None:
    def target(net: Halves, x: Tensor) -> Tensor:
        return net.second(x) - without_grad(net.first, x)

    found = cut(target)
    assert found is not None
    assert found.severity == "warn"
    assert "requires_grad_(False)" in found.advice
    assert cut(target, freeze=True) is None


def test_a_frozen_half_may_be_cut_off() -> None:
    assert cut(ACROSS["detach"][0], freeze=True) is None
    assert cut(ACROSS["no_grad"][0], freeze=True) is None


def test_what_is_frozen_in_part_is_lost_in_part() -> None:
    """Only biases are frozen: the weights beside them are still to be trained."""
    net = Halves(ACROSS["detach"][0])
    for name, p in net.named_parameters():
        p.requires_grad_(not name.endswith("bias"))
    (found,) = ds.diagnose(ds.probe(net, torch.randn(16, WIDTH))).matching(("gradient-cut",))
    assert found.severity == "error"
    assert found.evidence["operations"] == 6


class UNet(nn.Module):
    """Two levels and a middle that is added back. / cut: whether the middle gets no gradient."""

    def __init__(self, cut: bool):
        super().__init__()
        self.down, self.mid, self.up = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.down(x))
        h = torch.relu(self.mid(max_pool2d(x, 2)))
        return self.up(x + interpolate(h.detach() if self.cut else h, scale_factor=2))


def test_a_branch_of_trained_features_that_is_cut_off_is_an_error() -> None:
    x = torch.randn(2, 4, 8, 8)
    (found,) = ds.diagnose(ds.probe(UNet(cut=True), x)).matching(("gradient-cut",))
    assert (found.severity, found.where) == ("error", "add")
    assert found.evidence["first"] == found.evidence["last"] == "mid"
    assert not ds.diagnose(ds.probe(UNet(cut=False), x)).matching(("gradient-cut",))


class Language(nn.Module):
    """Tokens with positions that are a buffer; a low-rank addition to a frozen layer; a second
    output; a codebook."""

    def __init__(self, part: str):
        super().__init__()
        self.tokens, self.body, self.head, self.second = (
            nn.Embedding(20, 8),
            he(8, 8),
            he(8, 8),
            he(8, 8),
        )
        self.a, self.b = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)
        self.register_buffer("positions", torch.randn(5, 8))
        self.part = part
        if part == "low rank":
            self.requires_grad_(False)
            self.a.requires_grad_(True)
            self.b.requires_grad_(True)

    def forward(self, ids: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.tokens(ids) + self.get_buffer("positions")
        x = self.body(x)
        if self.part == "low rank":
            x = x + self.b(self.a(x))
        if self.part == "second output":
            return self.head(x), self.second(x)
        if self.part == "beam":
            x = self.tokens(self.second(x).argmax(-1) % 20) + x
        return self.head(x)


@pytest.mark.parametrize(
    ("part", "severity"),
    [("plain", None), ("low rank", None), ("second output", None), ("beam", "warn")],
)
def test_integer_inputs_buffers_frozen_layers_and_other_outputs_cut_nothing(
    part: str, severity: str | None
) -> None:
    found = ds.diagnose(ds.probe(Language(part), torch.randint(0, 20, (3, 5)))).matching(
        ("gradient-cut",)
    )
    assert [each.severity for each in found] == ([severity] if severity else [])


def test_the_account_says_where_it_ends() -> None:
    account = ds.ledger(ds.probe(Halves(ACROSS["detach"][0]), torch.randn(16, WIDTH)))
    assert account.open == ("the account ends at second.0: no gradient reaches input",)
    assert ds.ledger(ds.probe(Halves(PRACTICE["no cut"]), torch.randn(16, WIDTH))).open == ()


def test_a_network_with_nothing_to_train_and_integer_inputs_says_so() -> None:
    frozen = Language("plain").requires_grad_(False)
    with pytest.raises(
        ds.InvalidProbe, match=r"inputs are integers, and every parameter has requires_grad=False"
    ):
        ds.probe(frozen, torch.randint(0, 20, (3, 5)))
    with pytest.raises(ds.InvalidProbe, match="under no_grad, or detached"):
        ds.probe(Halves(lambda net, x: net.second(x).detach()), torch.randn(4, WIDTH))


class Refined(nn.Module):
    """Boxes are made better layer by layer, each from the last one's without its gradient; heads
    have outputs of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.heads = (
            nn.ModuleList(he(64, 64) for _ in range(6)),
            nn.ModuleList(he(64, 2) for _ in range(6)),
        )
        self.places = he(2, 64)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        box, boxes = x.new_zeros(len(x), 2), []
        for layer, head in zip(self.layers, self.heads, strict=True):
            x = x + torch.relu(layer(x + self.places(box.detach())))
            boxes.append(box := box.detach() + head(x))
        return box, boxes


def test_heads_of_outputs_that_are_not_differentiated_are_a_remark() -> None:
    (found,) = ds.diagnose(ds.probe(Refined(), torch.randn(4, 64))).matching(("gradient-cut",))
    assert found.severity == "info"
    assert found.evidence["operations"] == 5
