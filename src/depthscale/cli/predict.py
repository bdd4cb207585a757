"""depthscale predict."""

from typing import Any

from depthscale.cli.frame import Html, Json, Loss, Save
from depthscale.cli.network_option import Network
from depthscale.cli.output import check, show
from depthscale.network import NetSpec


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

    def more() -> dict[str, Any]:
        from depthscale.store import classical_record

        return {"classical": classical_record(found)}

    show(profile, save, json, html, more, classical_lines(found) if found else [])
