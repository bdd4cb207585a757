"""Inputs described on the command line."""

from typing import Any

from depthscale.errors import InvalidProbe


def arguments(inputs: list[str], keywords: list[str], seed: int) -> Any:
    """What a model is called with: a tuple, or a mapping where there are keywords; None where
    nothing was given.

    keywords: each "name=described". / raises: InvalidProbe for both together, or a keyword without
    a name.
    """
    from depthscale._probe import drawn_tensor

    if inputs and keywords:
        raise InvalidProbe(
            "give --input or --kw, not both; every argument of a model has a name that --kw can use"
        )
    if keywords:
        pairs = [keyword.split("=", 1) for keyword in keywords]
        wrong = next((pair[0] for pair in pairs if len(pair) < 2 or not pair[0]), None)
        if wrong is not None:
            raise InvalidProbe(
                f"--kw {wrong!r} has no value; write name=dtype[sizes], as "
                "input_ids=int64[2,256]<50257"
            )
        return {
            name: drawn_tensor(described, seed + i) for i, (name, described) in enumerate(pairs)
        }
    return tuple(drawn_tensor(described, seed + i) for i, described in enumerate(inputs)) or None
