"""depthscale predict."""

from depthscale.cli.frame import Html, Json, Loss, Network, Save, app
from depthscale.cli.output import check, show
from depthscale.network import NetSpec


@app.command
def predict(
    spec: Network = None,
    *,
    loss: Loss = "independent",
    save: Save = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """What theory says of such networks, layer by layer, without running any."""
    from depthscale._report import classical_lines
    from depthscale.store import classical_record
    from depthscale.theory import classical, predict

    spec = spec or NetSpec()
    check(json, html, save)
    profile = predict(spec, loss=loss)
    drawn = spec.initialization()
    first = drawn.sigma_w2 * spec.input_variance + drawn.sigma_b2
    plain = (spec.norm, spec.residual, spec.widths) == ("none", None, None)
    found = (
        classical(spec.activation, drawn.sigma_w2, drawn.sigma_b2, first or 1.0) if plain else None
    )
    show(
        profile,
        save,
        json,
        html,
        {"classical": classical_record(found)},
        classical_lines(found) if found else [],
    )
