"""What is said of each node of Batch Norm: its letter, its formulas (see `formula`), and its rule
in a sentence."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """A node in formulas. / symbol: its value's letter; local, flows: for each input, in the node's
    order.

    names: what the flows are called in the staged code that the lecture's readers know; says: the
    rule, in a sentence.
    """

    symbol: str
    value: str
    local: tuple[str, ...]
    flows: tuple[str, ...]
    names: tuple[str, ...]
    says: str


WORDS = {
    "mean": Words(
        "mu",
        "sum(x) / N",
        ("1 / N",),
        ("1 / N * d(mu)",),
        ("dx2",),
        "A mean again: every sample gets the same share.",
    ),
    "centre": Words(
        "c",
        "x - mu",
        ("1", "-1"),
        ("d(c)", "-sum(d(c))"),
        ("dx1", "dmu"),
        "The flows from normalize and square have met and added up. x gets them as they are, the "
        "one mean their sum, negated.",
    ),
    "square": Words(
        "s",
        "c**2",
        ("2 * c",),
        ("2 * c * d(s)",),
        ("dxmu2",),
        "The slope of a square is twice its base: far samples feel the variance most.",
    ),
    "variance": Words(
        "v",
        "sum(s) / N",
        ("1 / N",),
        ("1 / N * d(v)",),
        ("dsq",),
        "A mean shares its gradient out evenly, 1 / N to each sample.",
    ),
    "square root": Words(
        "sigma",
        "sqrt(v + eps)",
        ("1 / (2 * sigma)",) * 2,
        ("1 / (2 * sigma) * d(sigma)",) * 2,
        ("dvar", "deps"),
        "The slope of a root is 1 over twice the root; eps keeps it finite.",
    ),
    "inverse": Words(
        "r",
        "1 / sigma",
        ("-(1 / sigma**2)",),
        ("-(1 / sigma**2 * d(r))",),
        ("dsqrtvar",),
        "The slope of 1 / σ: small where the batch is spread widely, large where it is not.",
    ),
    "normalize": Words(
        "x_hat",
        "c * r",
        ("r", "c"),
        ("d(x_hat) * r", "sum(d(x_hat) * c)"),
        ("dxmu1", "divar"),
        "A product again. The inverse is one number for the whole batch, so it gets the sum: here "
        "samples begin to mix.",
    ),
    "scale": Words(
        "u",
        "gamma * x_hat",
        ("x_hat", "gamma"),
        ("sum(d(u) * x_hat)", "d(u) * gamma"),
        ("dgamma", "dxhat"),
        "A product hands its gradient on times the other factor; gamma is shared by the samples, "
        "so it gets their sum.",
    ),
    "shift": Words(
        "y",
        "u + beta",
        ("1", "1"),
        ("d(y)", "sum(d(y))"),
        ("dgammax", "dbeta"),
        "A sum hands its gradient on as it is; beta is shared by the samples, "
        "so it gets their sum.",
    ),
}
SYMBOLS = {name: words.symbol for name, words in WORDS.items()} | {
    name: name for name in ("x", "gamma", "beta", "eps")
}
