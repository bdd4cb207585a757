"""probe: one run of a model, every operation seen forward and backward, the model left as it
was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from itertools import count
from math import inf, log2
from numbers import Integral, Real
from typing import Any

import torch
from torch import nn

from depthscale._probe import inputs as given
from depthscale._probe import internals, modules, outputs
from depthscale._probe.given_inputs import understood
from depthscale._probe.interrupts import Held, Interruptible
from depthscale._probe.probe_options import MODES, ProbeOptions
from depthscale._probe.probe_pass import ProbePass
from depthscale._probe.randomness import seeded
from depthscale._probe.ranks import is_shared, over_ranks
from depthscale._probe.state import model_state
from depthscale._probe.tree import walked
from depthscale._probe.verify import plain_fates, same_without_probe
from depthscale.errors import InvalidProbe
from depthscale.run import Run, merged

_LAST_SEED = 2**64 - 1
_numbers = count()  # of probes, alike on all ranks


def probe(
    model: nn.Module | Callable[[], Any],
    inputs: Any = None,
    *,
    loss: outputs.Loss = "independent",
    mode: str | None = None,
    params: bool = False,
    repeats: int = 1,
    seed: int = 0,
    output: str | None = None,
    loss_scale: float = 1.0,
    verify: bool = False,
    norms: bool = False,
    optimizer: torch.optim.Optimizer | None = None,
    targets: Any = None,
    group: Any = None,
) -> Run:
    """Run a model once, forward and backward, and see every operation; the model is then as it was,
    bit for bit.

    Args:
        model: any torch.nn.Module; or a function without arguments that makes one, or one and its
            inputs.
        inputs: a tensor, a tuple or list of arguments, or a mapping of keyword arguments, as a
            tokenizer returns it; a description, "float32[8,3,64,64]" or "int64[2,64]<50257", or
            sizes, (8, 3, 64, 64), of which standard normal values are drawn; numpy arrays; a
            DataLoader, of which the first batch is taken. They are copied, and floating ones are
            differentiated. For integer inputs differentiation ends at the embeddings' outputs.
        loss: "independent": a standard-normal cotangent for every value of the output; "shared":
            one for all samples of the first axis, E = sum_t w . x_t; a function of the model's
            output that returns a scalar; or a loss of outputs and targets, as
            `nn.CrossEntropyLoss()`. A scalar output is its own loss.
        mode: "train" or "eval"; None takes the model as it stands.
        params: every parameter and its gradient, too.
        repeats: of a function, models made, one each after seeding torch, Python and numpy with
            seed + i; of a model, cotangents drawn, one backward pass each.
        seed: of the first.
        output: name of the output's part to differentiate, as "logits" or "0"; None: the tensor,
            .logits, .last_hidden_state, or the first floating one.
        loss_scale: a power of two that multiplies the loss; gradients are reported without it.
        verify: run the model plainly, too, and compare outputs and gradients bit by bit
            (Run.verified).
        norms: record every norm's terms and every activation's slopes, which `explain` reads;
            about twice the time.
        optimizer: the user's; parameters that it does not move have the fate "not in optimizer".
        group: of torch.distributed, whose ranks each probe a share of a batch, which are added
            up; None: the default one, where there is one; False: this rank's share alone.
        targets: what a loss of outputs and targets judges by; None where they are the last part of
            inputs.

    Returns:
        Run; `print(diagnose(run))` says what is wrong, `run.blocks()` where.

    Raises:
        InvalidProbe: for what cannot be probed. What the model itself raises comes with a note of
            where it was.

    Example:
        >>> import depthscale as ds
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> run = ds.probe(model, (4, 8))
        >>> [op.op for op in run]
        ['input', 'linear', 'relu', 'linear']
    """
    _require(mode in (None, *MODES), f"mode must be train, eval or None, got {mode!r}")
    repeats = _count(repeats, 1, _LAST_SEED, "repeats must be a whole number from 1")
    seed = _count(
        seed,
        0,
        _LAST_SEED - repeats,
        "seed must be a whole number from 0 up to what torch takes, 2^64 - 1",
    )
    _require_power_of_two(loss_scale)
    _require_optimizer(optimizer, model)
    options = ProbeOptions(
        model,
        inputs,
        loss,
        mode,
        params,
        output,
        verify,
        norms,
        repeats,
        seed,
        float(loss_scale),
        optimizer,
        group,
    )
    if isinstance(model, nn.Module) or not callable(model):
        return _probe(_ready(options, targets))
    drawn = (_drawn(options, model, seed + i) for i in range(repeats))
    return merged([_probe(_ready(each, targets)) for each in drawn])


def _ready(asked: ProbeOptions, targets: Any) -> ProbeOptions:
    """The same, of a bare module and inputs that it can be called with."""
    asked = replace(asked, model=modules.unwrapped(asked.model))
    given.require_module(asked.model)
    _require(
        asked.inputs is not None,
        "probe needs inputs: a tensor, sizes as (8, 3, 64, 64), a description as "
        "'float32[8,3,64,64]', a tuple of arguments, a dict of keyword arguments, or a DataLoader",
    )
    inputs, loss = understood(asked.inputs, asked.loss, targets, asked.model, asked.seed)
    return replace(asked, inputs=inputs, loss=loss)


def _drawn(options: ProbeOptions, factory: Callable[[], Any], seed: int) -> ProbeOptions:
    """The same of the model that a function makes after a seed."""
    model, inputs = made(factory, options.inputs, seed)
    return replace(options, model=model, inputs=inputs, repeats=1, seed=seed)


def _require_optimizer(optimizer: Any, model: Any) -> None:
    if optimizer is None:
        return
    _require(
        isinstance(optimizer, torch.optim.Optimizer),
        f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}",
    )
    _require(
        isinstance(model, nn.Module),
        "optimizer= goes with a model; a function makes another one, which no optimizer holds",
    )


def _count(value: Any, least: int, most: int, otherwise: str) -> int:
    """The whole number that was given. / raises: InvalidProbe for anything else."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    _require(whole and least <= int(value) <= most, f"{otherwise}, got {value!r}")
    return int(value)


def made(factory: Callable[[], Any], inputs: Any, seed: int) -> tuple[Any, Any]:
    """A model after its seed, and its inputs: the given ones, or those that the factory returns
    with it."""
    _require_no_arguments(factory)
    with Held(), seeded(seed), Interruptible():
        made = factory()
    network, own = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    given.require_module(network)
    return network, own if inputs is None else inputs


def _require_no_arguments(factory: Callable[..., Any]) -> None:
    try:
        signature(factory).bind()
    except TypeError as wrong:
        name = getattr(factory, "__name__", "make").replace("<lambda>", "make")
        raise InvalidProbe(
            f"a function that makes the model is called without arguments, and {name} asks for "
            f"some ({wrong}); "
            f"give a model, or lambda: {name}(...)"
        ) from None
    except ValueError:  # one written in C may not say what it takes
        return


def _probe(asked: ProbeOptions) -> Run:
    tree = walked(asked.model)
    given.require_values(tree)
    with (
        Held(),
        internals.foremost(),
        model_state(tree) as kept,
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        if asked.mode is not None and any(
            type(module).train is not nn.Module.train for _, module in tree.modules
        ):
            kept.before_any_write()  # a mode of one's own may merge weights, say
        asked.set_mode()
        run = ProbePass(asked, tree)
        with _one_value_explained():
            run.forward(kept)
        run.backward(kept)
        probed = run.run()
    if kept.changed():
        raise InvalidProbe(
            "the forward pass writes to its parameters or their .grad where the probe could not "
            "keep them in time"
        )
    origin = probed.origin
    if run.is_unsure:
        fates = plain_fates(run, {each.name: each.fate for each in probed.params})
        params = tuple(replace(each, fate=fates[each.name]) for each in probed.params)
        origin = replace(origin, params=params)
    if asked.verify:
        origin = replace(origin, verified=same_without_probe(run))
    probed = replace(probed, origin=origin)
    if is_shared(asked.group):
        return over_ranks(probed, tree, asked.group, f"probe/{next(_numbers)}")
    return probed


@contextmanager
def _one_value_explained() -> Iterator[None]:
    """raises: InvalidProbe for what torch says of a batch of 1 under Batch Norm."""
    try:
        yield
    except ValueError as wrong:
        if "more than 1 value per channel" not in str(wrong):
            raise
        where = "".join(getattr(wrong, "__notes__", ())).removeprefix("while probing, ")
        raise InvalidProbe(
            f"a batch of 1 has no variance that Batch Norm could divide by ({where}); give 8 "
            "samples or more, or mode='eval' to use its running statistics"
        ) from None


def _require_power_of_two(scale: float) -> None:
    exponent = log2(scale) if isinstance(scale, Real) and 0 < scale < inf else 0.5
    _require(
        exponent == int(exponent),
        f"loss_scale must be a power of two, got {scale!r}; rescaling by any other would round",
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidProbe(otherwise)
