"""Residual: the blocks of a described network around a skip connection."""

from dataclasses import dataclass, replace
from numbers import Integral

from depthscale.errors import InvalidSpec
from depthscale.network.fields import LARGEST_WHOLE, described, number, one_of, shown, whole


@dataclass(frozen=True)
class Residual:
    """A network of blocks x + scale * branch(x), or norm(x + scale * branch(x)), each one layer of
    depth.

    form: "pre", a branch of `layers` times (norm, activation, linear), or (activation, norm,
    linear) by position; "post", of `layers` times (activation, linear), with the norm on the sum.
    `skipinit` and `fixup` give the two that train without a norm.

    Raises:
        InvalidSpec: for a value that cannot be.

    Example:
        >>> Residual.skipinit(depth=16).scale
        0.25
    """

    form: str = described("pre: norm in the branch; post: norm on the sum", "pre")
    scale: float = described("of the branch", 1.0)
    layers: int = described("linear layers of a branch", 1)
    inner_gain: float = described("of the weights of a branch's layers but the last", 1.0)
    last_gain: float = described("of the weights of a branch's last layer", 1.0)

    def __post_init__(self) -> None:
        one_of(self, "form", ("pre", "post"))
        for name in ("scale", "inner_gain", "last_gain"):
            number(self, name)
        whole(self, "layers", at_least=1)

    @classmethod
    def skipinit(cls, depth: int | None = None, layers: int = 1) -> "Residual":
        """Branches that count for nothing at first, or of 1/sqrt(depth) where a depth is given.

        Args:
            depth: number of blocks; None for a scale of 0.
            layers: linear layers of a branch.

        Raises:
            InvalidSpec: for a depth below 1.

        Example:
            >>> Residual.skipinit().scale
            0.0

        Source:
            arXiv:2002.10444 (De & Smith), section 4; 1/sqrt(depth): arXiv:1803.01719 (Hanin &
            Rolnick).
        """
        return cls(scale=0.0 if depth is None else _blocks(depth) ** -0.5, layers=layers)

    @classmethod
    def fixup(cls, depth: int, layers: int = 2) -> "Residual":
        """Branches of m layers whose last is 0 and whose others' weights are multiplied by
        depth^(-1/(2m - 2)).

        Args:
            depth: number of blocks.
            layers: m, at least 2.

        Raises:
            InvalidSpec: for fewer layers, or a depth below 1.

        Example:
            >>> fixup = Residual.fixup(depth=16, layers=3)
            >>> fixup.inner_gain, fixup.last_gain
            (0.5, 0.0)

        Source:
            arXiv:1901.09321 (Zhang et al.), rules 1 and 2.
        """
        if layers == 1:
            raise InvalidSpec(
                "Fixup's branches have at least 2 layers: the last is 0 and the others are "
                "scaled; got 1"
            )
        fixed = cls(layers=layers, last_gain=0.0)
        return replace(fixed, inner_gain=_blocks(depth) ** (-1 / (2 * fixed.layers - 2)))


def _blocks(depth: object) -> int:
    """raises: InvalidSpec."""
    if (
        isinstance(depth, bool)
        or not isinstance(depth, Integral)
        or not 1 <= int(depth) <= LARGEST_WHOLE
    ):
        raise InvalidSpec(f"depth must be a whole number of blocks, at least 1, got {shown(depth)}")
    return int(depth)
