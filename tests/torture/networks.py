"""A random network of a seed: the same seed gives the same model and the same inputs, bit for
bit."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint

from torture.elementwise import ELEMENTWISE, Step
from torture.functions import FUNCTIONS
from torture.layers import LAYERS, Make
from torture.shapes import SHAPES
from torture.writes import WRITES
from torture.written_layers import WRITTEN_LAYERS

STEPS: dict[str, Step] = {**ELEMENTWISE, **SHAPES, **WRITES, **FUNCTIONS}
MAKES: dict[str, Make] = {**LAYERS, **WRITTEN_LAYERS}
TABLES = (ELEMENTWISE, SHAPES, WRITES, FUNCTIONS, LAYERS, LAYERS, WRITTEN_LAYERS)
Around = Callable[[Step, Tensor, Tensor], Tensor]


def _twice(step: Step, a: Tensor, b: Tensor) -> Tensor:
    return step(step(a, b), b)


def _looped(step: Step, a: Tensor, b: Tensor) -> Tensor:
    for _ in range(4):
        a = step(a, b)
    return a


def _checkpointed(reentrant: bool) -> Around:
    def run(step: Step, a: Tensor, b: Tensor) -> Tensor:
        return checkpoint(step, a, b, use_reentrant=reentrant)  # type: ignore[return-value]

    return run


def _inside(context: Callable[[], Any]) -> Around:
    def run(step: Step, a: Tensor, b: Tensor) -> Tensor:
        with context():
            return step(a, b).to(a.dtype)

    return run


def _without_gradient(step: Step, a: Tensor, b: Tensor) -> Tensor:
    with torch.no_grad():
        fixed = step(a, b)
    return a + fixed


def _on_rows(step: Step, a: Tensor, b: Tensor) -> Tensor:
    """Each half of the rows apart."""
    half = len(a) // 2
    return torch.cat([step(a[:half], b[:half]), step(a[half:], b[half:])])


AROUND: dict[str, Around] = {
    "as it is": lambda step, a, b: step(a, b),
    "twice": _twice,
    "loop": _looped,
    "residual": lambda step, a, b: a + step(a, b),
    "branches": lambda step, a, b: step(a, b) + step(b, a),
    "checkpoint": _checkpointed(False),
    "reentrant checkpoint": _checkpointed(True),
    "autocast": _inside(lambda: torch.autocast("cpu", torch.bfloat16)),
    "saved elsewhere": _inside(save_on_cpu),
    "no_grad": _without_gradient,
    "on rows": _on_rows,
    "of a view": lambda step, a, b: step(a.t().contiguous().t(), b[:, :]),
    "conditional": lambda step, a, b: step(a, b) if float(b.detach().sum()) > 0 else step(b, a),
}
OPERATIONS = len(STEPS) + len(MAKES) + len(AROUND) - 1


@dataclass
class Planned:
    """One step of a network: what it does, in which surroundings, to which values."""

    name: str
    around: str
    a: int
    b: int


class RandomNetwork(nn.Module):
    """Each value reads from the four before it.

    Args:
        plan: The steps, in order.
        width: Of every value [N, width].
        output: How values are returned: tensor, tuple, dict, nested, loss.
    """

    def __init__(self, plan: list[Planned], width: int, output: str):
        super().__init__()
        self.plan, self.width, self.output = plan, width, output
        self.ids = nn.Embedding(7, width)
        self.steps = nn.ModuleDict()
        for each in plan:
            if each.name in MAKES and each.name not in self.steps:
                self.steps[each.name] = MAKES[each.name](width)

    def forward(self, x: Any = None, pair: Any = None, batch: Any = None) -> Any:
        if batch is not None:
            x, pair = batch["x"], batch["more"][0]
        ids, other = None, pair
        if isinstance(pair, tuple | list):
            other, ids = pair
        if not x.is_floating_point():
            x = self.ids(x)
        values = [x * 1] if other is None else [x * 1, x + other]
        if ids is not None:
            values.append(self.ids(ids) + x)
        for each in self.plan:
            step: Any = self.steps[each.name] if each.name in self.steps else STEPS[each.name]
            a, b = values[-1 - each.a % len(values)], values[-1 - each.b % len(values)]
            values.append(AROUND[each.around](step, a, b))
        return self._returned(values)

    def _returned(self, values: list[Tensor]) -> Any:
        total = sum(values[-3:-1], values[-1])
        match self.output:
            case "tuple":
                return total, values[0], 3
            case "dict":
                return {"hidden": [values[-1]], "logits": total}
            case "nested":
                return [{"first": (total * 1,)}, None]
            case "loss":
                return total.square().mean()
        return total


@dataclass
class Network:
    """A model, its inputs and how it is to be probed, of a seed."""

    seed: int
    model: RandomNetwork
    inputs: Any
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        plan = self.model.plan
        steps = (
            f"{p.name}({p.a},{p.b})" + f" [{p.around}]" * (p.around != "as it is") for p in plan
        )
        return f"{', '.join(steps)} -> {self.model.output}; {self.settings}"


def network(
    seed: int,
    dtype: torch.dtype | None = None,
    rows: int | None = None,
    steps: int = 14,
    tables: tuple[Mapping[str, Any], ...] = TABLES,
) -> Network:
    """The network of a seed.

    Args:
        seed: Of everything that is drawn.
        dtype: Of its values; None draws one, mostly float32.
        rows: Samples in the inputs; None draws a few, or none.
        steps: How many steps at most.
        tables: From which they are drawn.
    """
    drawn = random.Random(seed)
    width, few = drawn.choice((4, 8, 8, 12)), drawn.choice((2, 3, 5, 8, 8, 8, 1, 0))
    rows = few if rows is None else rows
    plan = [
        Planned(
            drawn.choice(list(drawn.choice(tables))),
            _around(drawn),
            drawn.randrange(4),
            drawn.randrange(4),
        )
        for _ in range(drawn.randrange(1, steps))
    ]
    output = drawn.choice(("tensor", "tensor", "tensor", "tuple", "dict", "nested", "loss"))
    drawn_dtype = drawn.choice((torch.float32,) * 6 + (torch.float64, torch.bfloat16))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = RandomNetwork(plan, width, output).to(dtype or drawn_dtype)
        inputs = _inputs(drawn.choice(_SHAPES), rows, width, dtype or drawn_dtype)
    _live(model, drawn)
    return Network(seed, model, inputs, _settings(drawn))


def _around(drawn: random.Random) -> str:
    return drawn.choice(list(AROUND)) if drawn.random() < 0.3 else "as it is"


_SHAPES = ("one", "one", "two", "keywords", "nested", "integers")


def _inputs(kind: str, rows: int, width: int, dtype: torch.dtype) -> Any:
    x, y = torch.randn(2, rows, width).to(dtype)
    ids = torch.randint(0, 7, (rows,))
    match kind:
        case "two":
            return x, y
        case "keywords":
            return {"x": x, "pair": y}
        case "nested":
            return {"batch": {"x": x, "more": ((y, ids), "a word", 3)}}
        case "integers":
            return ids
    return x


def _live(model: RandomNetwork, drawn: random.Random) -> None:
    """A model in the middle of its life: in a mode, with a gradient here and a hook there."""
    model.train(drawn.random() < 0.7)
    for p in model.parameters():
        if p.requires_grad and drawn.random() < 0.2:
            p.grad = torch.ones_like(p)
    if drawn.random() < 0.2:
        model.ids.requires_grad_(False)
    if drawn.random() < 0.1:
        model.ids.weight.register_hook(lambda g: g * 2) if model.ids.weight.requires_grad else None


def tensors(value: Any) -> list[Tensor]:
    """Every tensor in nested containers, in order."""
    if isinstance(value, Tensor):
        return [value]
    inside = value.values() if isinstance(value, dict) else value
    return (
        [t for each in inside for t in tensors(each)]
        if isinstance(value, dict | list | tuple)
        else []
    )


def _squared(output: Any) -> Tensor:
    return tensors(output)[0].square().sum()


def _settings(drawn: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {
        "loss": drawn.choice(("independent", "independent", "shared", _squared))
    }
    if drawn.random() < 0.2:
        found["params"] = True
    if drawn.random() < 0.1:
        found["repeats"] = 2
    if drawn.random() < 0.1:
        found["norms"] = True
    if drawn.random() < 0.2:
        found["mode"] = drawn.choice(("train", "eval"))
    if drawn.random() < 0.1:
        found["loss_scale"] = 1024.0
    return found
