"""depthscale simulate."""

from depthscale.cli.frame import Html, Json, Loss, Save, Seed, Seeds
from depthscale.cli.network_option import Network
from depthscale.cli.output import check, progress, show
from depthscale.network import NetSpec


def simulate(
    spec: Network = None,
    *,
    seeds: Seeds = 20,
    seed: Seed = 0,
    loss: Loss = "independent",
    save: Save = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """Measure random networks of one kind, layer by layer, over seeds."""
    from depthscale.nets import simulate

    check(json, html, save)
    with progress("networks") as bar:
        profile = simulate(spec or NetSpec(), seeds=seeds, seed=seed, loss=loss, progress=bar)
    show(profile, save, json, html)
