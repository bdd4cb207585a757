"""depthscale: whether signal and gradient survive a network's depth, which operation changes them,
what theory says, and why.

Names are imported when they are first used, so that the command line answers `--help` without
loading torch. A folder whose name is a public verb begins with an underscore.
"""

from depthscale.faces import face

__all__, _imported = face(__file__)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name != "__version__":
        return _imported(name)
    from importlib.metadata import version  # loads for longer than the rest of a start

    return version("depthscale")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
