"""Where trouble began, in a sentence."""

from math import isfinite, isnan

from depthscale.monitor.began import Began, Departed

_HELD = 1000.0  # log2 of a mean square that float64 holds


def began_sentence(found: Began | None) -> str:
    """For terminal and page alike."""
    if found is None:
        return (
            "No operation left its range: either nothing went wrong, or fewer than five sampled "
            "steps were kept before it did."
        )
    inside = f" in {found.block}" if found.block and found.block != found.operation else ""
    if found.what in (Departed.GONE, Departed.NEW):
        did = "runs no more" if found.what is Departed.GONE else "had not run before"
        return f"From step {found.step} on other operations run{inside}: {found.operation} {did}."
    others = f"; {found.left - 1} others did so at that step" if found.left > 1 else ""
    what = {
        Departed.WEIGHT: "the weight",
        Departed.ACTIVATION: "the activation",
        Departed.GRADIENT: "the gradient",
    }[found.what]
    return (
        f"It began at step {found.step}{inside}: {what} of {found.operation} was the first to "
        f"leave its range for good, its RMS going from {_rms(found.log2_before)} to "
        f"{_rms(found.log2_now)}{others}."
    )


def _rms(log2_mean_square: float) -> str:
    if isnan(log2_mean_square) or log2_mean_square == float("inf"):
        return "values that are not finite"
    if not isfinite(log2_mean_square):
        return "0"
    half = log2_mean_square / 2
    return f"{2.0**half:.3g}" if abs(log2_mean_square) < _HELD else f"2^{half:.0f}"
