"""depthscale first-steps."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from depthscale.cli.frame import Html, Json, Seed
from depthscale.cli.models import Inputs, Keywords, Model, Part, calling, factory, named
from depthscale.cli.output import check, deliver

if TYPE_CHECKING:
    from depthscale.measure import FirstSteps


def first_steps(
    model: Model,
    /,
    *,
    optimizer: Annotated[
        str,
        Parameter(
            help="one of torch.optim with its settings, sgd:lr=.1,momentum=.9,weight_decay=5e-4; "
            "or file.py:function of the parameters"
        ),
    ],
    loss: Annotated[
        str | None,
        Parameter(
            help="file.py:function of the output, or cross_entropy: with labels drawn at random "
            "[default: the model's own output, where that is one number]"
        ),
    ] = None,
    input: Inputs = None,
    kw: Keywords = None,
    output: Part = None,
    seed: Seed = 0,
    json: Json = None,
    html: Html = None,
) -> None:
    """What an optimizer's first step does to your model: by which angle it turns every layer.

    The function makes a torch.nn.Module, or a pair of one and its inputs; it is taken in train
    mode. The optimizer's own code steps copies.
    """
    from depthscale._report import first_steps_view

    check(json, html)
    found = _steps(model, optimizer, loss, input, kw, output, seed)
    deliver(found, "first-steps", first_steps_view(found), json, html)


def _steps(
    model: str,
    optimizer: str,
    loss: str | None,
    input: list[str] | None,
    kw: list[str] | None,
    output: str | None,
    seed: int,
) -> "FirstSteps":
    from depthscale._probe import made
    from depthscale.cli.tensors import arguments
    from depthscale.training import first_steps

    make, given = factory(model), arguments(input or [], kw or [], seed)
    asked: dict[str, Any] = {
        "optimizer": named(optimizer) if _is_place(optimizer) else optimizer,
        "loss": named(loss) if loss and ":" in loss else loss,
    }
    with calling(model):
        network, inputs = made(make, given, seed)
        return first_steps(network, inputs, mode="train", output=output, seed=seed, **asked)


def _is_place(optimizer: str) -> bool:
    """Whether it names a function, path/to/file.py:make or package.module:make, and no settings."""
    place, _, name = optimizer.partition(":")
    return (place.endswith(".py") or "." in place) and name.isidentifier()
