"""What theory says of a network that was simulated."""

from depthscale.errors import DepthscaleError
from depthscale.network import NetSpec
from depthscale.run import Run
from depthscale.theory import predict


def theory_beside(profile: Run) -> Run | None:
    """The prediction for the network that was simulated; None where theory has none for it, or the
    inputs were given."""
    if not profile.networks:
        return profile
    if profile.inputs != "white noise":
        return None
    try:
        return predict(NetSpec.from_record(profile.spec), loss=profile.loss)
    except DepthscaleError:
        return None
