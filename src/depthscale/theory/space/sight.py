"""What attention makes of positions: each averages over those that it sees. Under a causal mask
early ones are larger, and late ones alike.

Weights of a position are exchangeable over the n keys that it sees: E a_s^2 = P / n, and for two
keys E a_s a_s' = (1 - P) / (n (n - 1)). Two positions have in common Q = E sum_s a_s a'_s, over the
keys that both see. What is sent back to a key is what all positions that see it send, their
gradients' products included.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from depthscale.theory.space.position_gram import Matrix, PositionGram, classes, normalized

_NONE = 1e-300  # in place of 0 pairs, of which none are


@dataclass(frozen=True, eq=False)
class Sight:
    """Who sees which keys, of classes of positions, each at its middle.

    Args:
        sizes, key_sizes: [classes] of positions, and of keys.
        number: [classes] keys that a position sees.
        keys: [classes, classes] of those, how many are of a class.
        both: [classes, classes, classes] keys of a class that two positions see.
        readers: [classes, classes] positions of a class that see a key.
        readers_of_both: [classes, classes, classes] that see two keys.
    """

    sizes: Matrix
    key_sizes: Matrix
    number: Matrix
    keys: Matrix
    both: NDArray[np.float64]
    readers: Matrix
    readers_of_both: NDArray[np.float64]

    @property
    def common(self) -> Matrix:
        """[classes, classes] keys that two positions see."""
        return self.both.sum(axis=2)

    @property
    def mean(self) -> Matrix:
        """[classes, classes] even weights that a position gives to a class."""
        return self.keys / self.number[:, None]

    @property
    def even_both(self) -> NDArray[np.float64]:
        """[classes, classes, classes] products of the even weights of two positions."""
        return self.both / np.outer(self.number, self.number)[..., None]

    @property
    def even(self) -> Matrix:
        """Q of even weights."""
        return self.common / np.outer(self.number, self.number)

    def rows(self, values: Matrix) -> Matrix:
        """[classes] of values by the number of keys."""
        return np.interp(self.number, np.arange(1, len(values) + 1), values)

    def at_positions(self, own: Matrix, pairs: Matrix) -> tuple[float, PositionGram]:
        return normalized(self.sizes, own, pairs)

    def at_keys(self, own: Matrix, pairs: Matrix) -> tuple[float, PositionGram]:
        return normalized(self.key_sizes, own, pairs)


@lru_cache(maxsize=16)
def of_all(positions: int, keys: int) -> Sight:
    """Each position sees every key."""
    n, m = classes(positions), classes(keys)
    t, k = len(n), len(m)
    return Sight(
        n,
        m,
        np.full(t, float(keys)),
        np.tile(m, (t, 1)),
        np.tile(m, (t, t, 1)),
        np.tile(n, (k, 1)),
        np.tile(n, (k, k, 1)),
    )


@lru_cache(maxsize=16)
def of_past(positions: int, window: float) -> Sight:
    """Each sees its own past, itself included. / window: keys that one sees at most."""
    n = classes(positions)
    last = np.cumsum(n)
    at = last - (n - 1) / 2
    apart = n / 6 * (n > 1)  # of two positions of one class, each from the middle
    one, other = np.tile(at[:, None], len(n)), np.tile(at, (len(n), 1))
    np.fill_diagonal(one, at - apart)
    np.fill_diagonal(other, at + apart)
    lowest, highest = np.minimum(one, other), np.maximum(one, other)

    def counted(above: Matrix, up_to: Matrix) -> NDArray[np.float64]:
        """Positions of each class in an interval."""
        ends = np.minimum(up_to[..., None], last) - np.maximum(above[..., None], last - n)
        return np.clip(ends, 0, n)

    keys = counted(at - window, at)
    both = counted(highest - window, lowest)
    readers = counted(at - 1, at - 1 + window)
    readers_of_both = counted(highest - 1, lowest - 1 + window)
    return Sight(n, n, keys.sum(axis=1), keys, both, readers, readers_of_both)


@dataclass(frozen=True, eq=False)
class AttentionWeights:
    """Of classes of positions.

    Args:
        own: [classes] P.
        own_slope: [classes] what the logits' gradient keeps, over what even weights would.
        pair: [classes, classes] Q.
        pair_slope: as own_slope, of two positions.
    """

    seen: Sight
    own: Matrix
    own_slope: Matrix
    pair: Matrix
    pair_slope: float


def averaged(v: PositionGram, w: AttentionWeights) -> tuple[float, PositionGram]:
    """The gram of what each position reads. / returns: its mean square over v's, and it."""
    s, within = w.seen, np.diag(v.pairs)
    n, products = s.number, s.keys @ v.pairs @ s.keys.T
    apart = (np.diag(products) - s.keys @ within) / np.maximum(n * (n - 1), _NONE)
    own = w.own * (s.keys @ v.own) / n + (1 - w.own) * np.where(n > 1, apart, 0.0)
    alike = s.both @ v.own / np.maximum(s.common, _NONE)
    unlike = (products - s.both @ within) / np.maximum(np.outer(n, n) - s.common, _NONE)
    unlike = np.where(np.outer(n, n) > 1, unlike, 0.0)
    return s.at_positions(own, w.pair * alike + (1 - w.pair) * unlike)


def sent_to_values(g: PositionGram, w: AttentionWeights) -> tuple[float, PositionGram]:
    """The gram of the gradient at the values. / returns: its mean square over g's, and it."""
    s = w.seen
    n, squares = s.number, np.outer(s.number, s.number)
    own = s.readers @ (w.own / n * g.own)
    own = own + _to_one_key(s, w.pair * g.pairs / np.maximum(s.common, _NONE))
    apart = np.where(n > 1, (1 - w.own) * g.own / np.maximum(n * (n - 1), _NONE), 0.0)
    unlike = (1 - w.pair) * g.pairs / np.maximum(squares - s.common, _NONE)
    unlike = np.where(squares > 1, unlike, 0.0)
    pairs = s.readers @ unlike @ s.readers.T + s.readers_of_both @ (apart - np.diag(unlike))
    return s.at_keys(own, pairs)


def sent_to_queries(
    g: PositionGram, k: PositionGram, v: PositionGram, w: AttentionWeights
) -> tuple[float, PositionGram]:
    """The gram of the gradient at the queries, sum_s a_s (v_s - y) k_s for each. / returns: its
    mean square over that of a product of g, k and v, and it."""
    s, values, keys = w.seen, _Read.of(v, w.seen), _Read.of(k, w.seen)
    products, own = v.pairs * k.pairs, v.own * k.own
    extra = own - np.diag(products)
    within = np.diag(s.mean @ products @ s.mean.T) + s.keys @ extra / s.number**2
    crossed = (s.mean * (values.by_reader * keys.by_reader).T).sum(axis=1)
    at_own = within - 2 * crossed + values.own * keys.own
    across = s.mean @ (values.by_any * keys.by_any)
    of_two = s.mean @ products @ s.mean.T + s.even_both @ extra
    at_two = of_two - across - across.T + values.pairs * keys.pairs
    return s.at_positions(w.own_slope * g.own * at_own, w.pair_slope * g.pairs * at_two)


def sent_to_keys(
    g: PositionGram, q: PositionGram, v: PositionGram, w: AttentionWeights
) -> tuple[float, PositionGram]:
    """The gram of the gradient at the keys, sum_t a_t (v - y_t) q_t for each; what reaches them
    together adds to nothing, as a softmax does not feel what all logits share. / returns: as of
    queries."""
    s, values = w.seen, _Read.of(v, w.seen)
    seen_by, read = s.readers / s.number, values.by_reader
    alone, pairs = w.own_slope * g.own * q.own, w.pair_slope * g.pairs * q.pairs
    twice, both = np.diag(pairs), values.pairs

    def summed(at_reader: Matrix, apart: Matrix) -> Matrix:
        """[keys] over one reader of sum_t a_t^2 `apart` (v - y_t)^2."""
        left = v.own[:, None] - 2 * read + at_reader
        return (seen_by / s.number * left) @ apart

    own = summed(values.own, alone) - summed(np.diag(both), twice)
    own = own + v.own * np.einsum("kt,tu,ku->k", seen_by, pairs, seen_by)
    own = own - 2 * np.einsum("kt,tu,ku->k", seen_by * read, pairs, seen_by)
    own = own + np.einsum("kt,tu,ku->k", seen_by, pairs * both, seen_by)
    roots = np.sqrt(np.maximum(own, 0.0))
    return s.at_keys(own, -np.outer(roots, roots) / max(v.positions - 1, 1))


@dataclass(frozen=True, eq=False)
class _Read:
    """What even weights read of a signal x.

    Args:
        own: [classes] mean squares of it.
        pairs: [classes, classes] products of what two positions read.
        by_reader: [keys, classes] products of a key with what a position reads that sees it.
        by_any: with what any position reads.
    """

    own: Matrix
    pairs: Matrix
    by_reader: Matrix
    by_any: Matrix

    @classmethod
    def of(cls, x: PositionGram, s: Sight) -> "_Read":
        extra, all_ = x.own - np.diag(x.pairs), s.mean @ x.pairs @ s.mean.T
        smooth = x.pairs @ s.mean.T
        return cls(
            np.diag(all_) + s.keys @ extra / s.number**2,
            all_ + s.even_both @ extra,
            smooth + np.outer(extra, 1 / s.number),
            smooth + (extra / x.sizes)[:, None] * s.mean.T,
        )


def _to_one_key(s: Sight, pairs: Matrix) -> Matrix:
    """[keys] of what all pairs of different positions that see a key send to it."""
    both = np.einsum("kt,tu,ku->k", s.readers, pairs, s.readers)
    return both - s.readers @ np.diag(pairs)
