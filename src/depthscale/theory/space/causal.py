"""What causal attention makes of positions: each averages over its own past, so that early ones are
larger, and late ones alike.

Weights of a position t are exchangeable over the t keys that it sees: E a_ts^2 = P_t / t, and for
two keys E a_ts a_ts' = (1 - P_t) / (t (t - 1)). Two positions t < t' have in common Q = E sum_s
a_ts a_t's, over the keys of the earlier. What is sent back to a key is what all later positions
send, their gradients' products included.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from depthscale.theory.space.position_gram import Matrix, PositionGram, classes


@dataclass(frozen=True, eq=False)
class Seen:
    """Of classes of positions, each at its middle: how many keys of each class a position sees, and
    how many positions of each class see a key.

    Args:
        at: [classes, 2] two positions of a class, the same where it has one alone.
        keys: [2, classes, classes] keys of a class that such a position sees.
    """

    at: Matrix
    keys: Matrix

    @property
    def less(self) -> Matrix:
        """[classes, classes] of two positions, the number of the earlier."""
        least = np.minimum.outer(self.at[:, 0], self.at[:, 0])
        np.fill_diagonal(least, self.at[:, 0])
        return least

    @property
    def more(self) -> Matrix:
        most = np.maximum.outer(self.at[:, 0], self.at[:, 0])
        np.fill_diagonal(most, self.at[:, 1])
        return most


@lru_cache(maxsize=16)
def seen(positions: int) -> Seen:
    n = classes(positions)
    last = np.cumsum(n)
    middle = last - (n - 1) / 2
    at = np.stack([middle - n / 6 * (n > 1), middle + n / 6 * (n > 1)], axis=1)
    keys = np.stack([np.clip(t[:, None] - (last - n), 0, n) for t in at.T])
    return Seen(at, keys)


@dataclass(frozen=True, eq=False)
class Weights:
    """Of classes of positions: P and what the logits' gradient keeps of it, [classes]; Q and the
    same, [classes, classes]."""

    own: Matrix
    own_slope: Matrix
    pair: Matrix
    pair_slope: Matrix


def rows_of(values: Matrix, positions: int) -> Matrix:
    """[classes] of values by position."""
    return np.interp(seen(positions).at.mean(axis=1), np.arange(1, positions + 1), values)


def averaged(v: PositionGram, w: Weights) -> tuple[float, PositionGram]:
    """The gram of what each position reads. / returns: its mean square over v's, and it."""
    s = seen(v.positions)
    within = np.diag(v.pairs)
    earlier, later = s.keys
    t = s.at.mean(axis=1)
    middle = s.keys.mean(axis=0)
    squares = middle @ v.own / t
    products = np.einsum("tk,kl,tl->t", middle, v.pairs, middle) - middle @ within
    apart = products / np.maximum(t * (t - 1), 1e-300)
    own = w.own * squares + (1 - w.own) * np.where(t > 1, apart, 0.0)
    both = middle @ v.pairs @ middle.T
    np.fill_diagonal(both, np.einsum("tk,kl,tl->t", earlier, v.pairs, later))
    least, most = s.less, s.more
    common = np.minimum(middle[:, None], middle[None])
    common[np.arange(len(t)), np.arange(len(t))] = earlier
    alike, lost = common @ v.own / least, common @ within
    pairs_of_keys = np.maximum(least * most - least, 1e-300)
    unlike = np.where(most > 1, (both - lost) / pairs_of_keys, 0.0)
    return v.of(own, w.pair * alike + (1 - w.pair) * unlike)


def sent_to_values(g: PositionGram, w: Weights) -> tuple[float, PositionGram]:
    """The gram of the gradient at the values. / returns: its mean square over g's, and it."""
    s = seen(g.positions)
    t, readers = s.at.mean(axis=1), _readers(g)
    common = _to_one_key(g, w.pair * g.pairs / s.less)
    own = readers @ (w.own / t * g.own) + common
    apart = (1 - w.own) / np.maximum(t * (t - 1), 1e-300) * g.own * (t > 1)
    unlike = (1 - w.pair) * g.pairs / np.maximum(s.less * s.more - s.less, 1e-300) * (s.more > 1)
    pairs = readers @ unlike @ readers.T
    later = np.maximum.outer(np.arange(len(t)), np.arange(len(t)))
    pairs += (readers @ apart)[later] - (readers @ np.diag(unlike))[later]
    return g.of(own, pairs)


def sent_to_keys(g: PositionGram, q: PositionGram, w: Weights) -> tuple[float, PositionGram]:
    """The gram of the gradient at the keys: what reaches them together adds to nothing, as a
    softmax does not feel what all logits share."""
    s, n = seen(g.positions), g.positions
    t = s.at.mean(axis=1)
    own = _readers(g) @ (w.own_slope / t * g.own)
    own = own + _to_one_key(g, w.pair_slope * g.pairs * q.pairs / s.less)
    roots = np.sqrt(np.maximum(own, 0.0))
    return g.of(own, -np.outer(roots, roots) / max(n - 1, 1))


def sent_to_queries(g: PositionGram, w: Weights) -> tuple[float, PositionGram]:
    return g.of(w.own_slope * g.own, w.pair_slope * g.pairs)


def _readers(g: PositionGram) -> Matrix:
    """[keys, classes] of positions that see a key, itself included."""
    n = g.sizes
    later = np.triu(np.ones((len(n), len(n))), 1) * n
    return later + np.diag((n + 1) / 2)


def _to_one_key(g: PositionGram, pairs: Matrix) -> Matrix:
    """[keys] of what all pairs of different positions that see a key send to it."""
    readers = _readers(g)
    both = np.einsum("kt,tu,ku->k", readers, pairs, readers)
    return both - readers @ np.diag(pairs)


def even_pairs(positions: int, ratio: float, slope_ratio: float) -> tuple[Matrix, Matrix]:
    """Q of even weights, 1 / max(t, t'), times a ratio, and what logits keep of it."""
    s = seen(positions)
    pair = np.minimum(1.0, ratio / s.more)
    return pair, slope_ratio * (1 - 1 / s.less) / s.more
