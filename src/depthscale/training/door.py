"""first_steps: what an optimizer's first step does to every weight of a network."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthscale._probe import chosen, probe
from depthscale.errors import InvalidProbe
from depthscale.measure import Analysis, FirstSteps
from depthscale.network import NetSpec
from depthscale.run import Run
from depthscale.training.named_optimizer import named_optimizer
from depthscale.training.of_theory import first_steps_in_theory

OptimizerGiven = torch.optim.Optimizer | str | Callable[[Sequence[Tensor]], torch.optim.Optimizer]
_GIVE = (
    'a torch.optim.Optimizer, a name with settings ("sgd:lr=.1,momentum=.9"), or a function of the '
    "parameters that makes one"
)


def first_steps(
    network: nn.Module | NetSpec | Run,
    inputs: Any = None,
    *,
    optimizer: Any = None,
    loss: Any = None,
    mode: str | None = None,
    output: str | None = None,
    seed: int = 0,
    classes: int = 10,
) -> FirstSteps:
    """What an optimizer's next step does to every weight: by how much it changes, by which angle it
    turns, and what that makes of later steps.

    A model runs forward and backward once. The optimizer's own code then steps copies of the
    parameters, one tensor at a time where it treats them apart, together where it does not; model
    and optimizer are as before, bit for bit. Of a description all follows from theory, before any
    run: the size of every weight's gradient, and the optimizer's own code on a stand-in of that
    size.

    Args:
        network: a model; a description; or a run of `probe` that was given a loss and an
            optimizer.
        inputs: of the model, as `probe` takes them.
        optimizer: a torch.optim.Optimizer that holds the model's parameters; a name in torch.optim
            with settings, "sgd:lr=.1,momentum=.9"; or a function of the parameters that makes one.
        loss: a function of the model's output that returns its loss; "cross_entropy", with labels
            drawn at random for an output of [batch, classes]; None for a model that returns its
            loss.
        mode: "train" takes a model in that mode; None as it stands.
        output: name of the output's part that is the loss or the logits.
        seed: of what is drawn.
        classes: of a description's cross entropy.

    Returns:
        FirstSteps: `params` and `blocks` with their angles, `verdict`, `lr_limit`, `depth_limit`.

    Raises:
        InvalidProbe: for an unknown optimizer, one that makes no step or computes the loss again
            inside it, a model in eval mode, and a cotangent that is no loss.
        NoTheory: of a description, where an operation has no rule.

    Example:
        >>> import depthscale as ds
        >>> spec = ds.NetSpec(depth=50, width=64, norm="batch", batch=64)
        >>> steps = ds.first_steps(spec, optimizer="sgd:lr=.1")
        >>> len(steps.scrambled), f"{steps.lr_limit:.1e}", round(steps.depth_limit)
        (22, '1.3e-03', 28)

    Source: <w, dE/dw> = 0 of weights before a norm: arXiv:1706.05350, arXiv:2010.02916.
    """
    if isinstance(network, Run):
        return _of_run(network)
    make = _maker(optimizer)
    if isinstance(network, NetSpec):
        if isinstance(optimizer, torch.optim.Optimizer):
            raise InvalidProbe(
                "an optimizer holds the tensors of a model, and a description has none: give "
                '"sgd:lr=.1", or a function of the parameters'
            )
        return first_steps_in_theory(network, make, classes)
    if not isinstance(network, nn.Module):
        raise InvalidProbe(
            f"first_steps takes a model, a NetSpec or a Run, got {type(network).__name__}"
        )
    _require_training(network, mode)
    own = loss is None
    stepped = make([p for p in network.parameters() if p.requires_grad])
    run = probe(
        network,
        inputs,
        loss="independent" if own else _loss(loss, output, seed),
        mode=mode,
        output=output,
        seed=seed,
        optimizer=stepped,
    )
    if own and run.loss != "output":
        raise InvalidProbe(
            "this model returns no loss, and without one a gradient has no size: give loss=, a "
            'function of its output, or "cross_entropy" for labels drawn at random'
        )
    return _of_run(run)


def _of_run(run: Run) -> FirstSteps:
    step = run.step
    if step is None:
        raise InvalidProbe(
            "no step was taken with this run: it takes probe(model, inputs, loss=..., "
            "optimizer=...), a loss and the train mode"
        )
    found = Analysis.of(run).first_steps
    if found is None:
        raise InvalidProbe(step.refused)
    return found


def _maker(optimizer: Any) -> Callable[[Sequence[Tensor]], torch.optim.Optimizer]:
    if isinstance(optimizer, torch.optim.Optimizer):
        return lambda tensors: optimizer
    if isinstance(optimizer, str):
        return named_optimizer(optimizer)
    if not callable(optimizer):
        raise InvalidProbe(f"optimizer= takes {_GIVE}; got {optimizer!r}")

    def make(tensors: Sequence[Tensor]) -> torch.optim.Optimizer:
        made = optimizer(list(tensors))
        if not isinstance(made, torch.optim.Optimizer):
            raise InvalidProbe(
                f"the function made a {type(made).__name__}, no optimizer; optimizer= takes {_GIVE}"
            )
        return made

    return make


def _require_training(model: nn.Module, mode: str | None) -> None:
    if mode == "eval" or (mode is None and not any(m.training for m in model.modules())):
        raise InvalidProbe(
            "the model is in eval mode, in which no step is trained: a Batch Norm divides by "
            "constants there, so that the loss sees the size of weights that it does not see in "
            'training; call model.train(), or give mode="train"'
        )


def _loss(loss: Any, output: str | None, seed: int) -> Any:
    if callable(loss):
        return loss
    if loss == "cross_entropy":
        return _RandomLabels(output, seed)
    raise InvalidProbe(
        f"loss={loss!r} is no loss, and a step of it has no size; give a function of the model's "
        'output that returns its loss, or "cross_entropy" for labels drawn at random'
    )


class _RandomLabels:
    """The mean cross entropy of logits [batch, classes, ...] with labels drawn at random."""

    def __init__(self, output: str | None, seed: int):
        self._output, self._seed = output, seed

    def __call__(self, returned: Any) -> Tensor:
        logits = chosen(returned, self._output)
        if logits.dim() < 2 or logits.shape[-1] < 2:
            raise InvalidProbe(
                f"cross_entropy takes logits [batch, classes], got {list(logits.shape)}; give a "
                "function of the output"
            )
        rows = logits.flatten(0, -2)
        generator = torch.Generator().manual_seed(self._seed)
        labels = torch.randint(rows.shape[1], (len(rows),), generator=generator)
        return functional.cross_entropy(rows, labels.to(rows.device))
