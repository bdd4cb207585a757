"""What every probe of every network owes: a table of invariants, each a function of one case."""

import random
import tempfile
import warnings
from collections.abc import Callable
from functools import cached_property
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch

import depthscale as ds
from depthscale.run import Run
from probe.checks import CLOSES, state
from torture import verbs
from torture.elementwise import ELEMENTWISE
from torture.networks import network
from torture.plain_runs import plain, seeded, warnings_of

ROUNDING = 1e-5  # log2 of a squared norm, summed in float64 from one order and another
PAGES_EVERY, TWINS_EVERY = 20, 50  # of how many networks one is drawn as a page, or built twice


class Case:
    """A network, what its model does plainly, and what a probe makes of it."""

    def __init__(self, seed: int, dtype: torch.dtype | None = None, **drawn: Any):
        self.seed, self.dtype, self.drawn = seed, dtype, drawn
        twin = network(seed, dtype, **drawn)
        self.plain = plain(twin)
        self.network = network(seed, dtype, **drawn)
        self.run: Run | None = None
        self.error: Exception | None = None
        with seeded(seed), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.before = state(self.network.model)
            try:
                self.run = ds.probe(
                    self.network.model, self.network.inputs, verify=True, **self.network.settings
                )
            except Exception as wrong:
                self.error = wrong
            self.after = state(self.network.model)
        self.warned = {str(each.message) for each in caught}

    @cached_property
    def is_repeatable(self) -> bool:
        """Whether torch alone gives the same twice; some of its kernels read what nobody wrote."""
        a, b = (plain(network(self.seed, self.dtype, **self.drawn)) for _ in "ab")
        if a.output is None or b.output is None:
            return False
        same = torch.equal(a.output.nan_to_num(), b.output.nan_to_num())
        return same and a.log2_norms2 == b.log2_norms2

    @cached_property
    def ledger(self) -> ds.Ledger | None:
        assert self.run is not None
        try:
            return ds.ledger(self.run)
        except ds.UnreliableGrowth:
            return None


Broken = str | None


def unchanged(case: Case) -> Broken:
    """Parameters, buffers, .grad, flags, hooks, attributes and random states are as before."""
    if case.before == case.after:
        return None
    pairs = zip(case.before, case.after, strict=False)
    return f"changed: {next((b for a, b in pairs if a != b), 'more or less state')}"


def raises_alike(case: Case) -> Broken:
    """What the plain model raises, or a refusal where nothing can be differentiated."""
    plain, error = case.plain.error, case.error
    if error is None:
        return f"the plain model raises {verbs.where(plain)}" if plain else None
    if plain is not None and isinstance(error, (type(plain), ds.DepthscaleError)):
        return None
    if plain is None and isinstance(error, ds.DepthscaleError) and not case.plain.log2_norms2:
        return None  # nothing reaches the inputs
    return f"raised {verbs.where(error)}, the plain model {plain!r}"


def warns_alike(case: Case) -> Broken:
    """No warning that the plain model would not give."""
    more = case.warned - case.plain.warned
    if not more or case.run is None:
        return None
    more -= warnings_of(network(case.seed))
    return f"warns {sorted(more)[0][:150]}" if more else None


def verified(case: Case) -> Broken:
    """Output and gradients are those without the probe, bit for bit."""
    if case.run is None or case.run.verified or not case.is_repeatable:
        return None
    return "not verified"


def same_gradient(case: Case) -> Broken:
    """The gradient at every input is autograd's own."""
    if case.run is None:
        return None
    reached = {case.run.ops[op].name: found[0] for op, found in case.run.sources}
    for name, wanted in case.plain.log2_norms2.items():
        found = reached.get(name, -inf)
        if isfinite(wanted) and not abs(found - wanted) < ROUNDING and case.is_repeatable:
            return f"gradient at {name}: log2 {found}, autograd's {wanted}"
    return None


def closes(case: Case) -> Broken:
    """The ledger closes, or says why it does not."""
    if case.run is None or case.ledger is None:
        return None
    error, coverage = case.ledger.closure_error, case.run.coverage
    if error < CLOSES or case.ledger.open or coverage.not_seen:
        return None
    return f"closure {error:.3g}, {len(case.run.sources)} sources"


def contributions_add_up(case: Case) -> Broken:
    """The operations' parts add up to the total, where the account closes."""
    if case.run is None or case.ledger is None or not case.ledger.closure_error < CLOSES:
        return None
    total = sum(entry.contribution for entry in case.ledger.entries)
    if abs(total - case.ledger.total_log2_norm2) < 10 * CLOSES:
        return None
    return f"contributions {total}, total {case.ledger.total_log2_norm2}"


def loads_again(case: Case) -> Broken:
    """Saved and loaded, it is the same record."""
    if case.run is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            same = verbs.saved_again(case.run, Path(folder))
        except Exception as wrong:
            return f"save or load: {verbs.where(wrong)}"
        left = sorted(path.name for path in Path(folder).iterdir())
    return None if same and left == ["first.json", "second.json"] else "another record"


def answers(case: Case) -> Broken:
    """Every verb answers or refuses."""
    with seeded(case.seed):
        before = random.getstate()
        found = [] if case.run is None else verbs.failures(case.run, verbs.VERBS)
        if random.getstate() != before:
            found.append("Python's random moved")
    return "; ".join(found) or None


def draws(case: Case) -> Broken:
    """Every picture is drawn or refused; of every twentieth network."""
    if case.run is None or case.seed % PAGES_EVERY:
        return None
    with seeded(case.seed):
        before = random.getstate()
        found = verbs.failures(case.run, verbs.DRAWN)
        if random.getstate() != before:
            found.append("Python's random moved")
    return "; ".join(found) or None


_CASTS = {"bfloat16", "double", "float", "half", "to"}  # which are none where nothing changes


def _names(run: Run) -> list[str]:
    return [op.op for op in run.ops if op.op not in _CASTS]


def alike_in_float64(case: Case) -> Broken:
    """In float64 and float32 it is one graph, and the gradients are torch's own; every fiftieth."""
    if case.seed % TWINS_EVERY:
        return None
    single, double = Case(case.seed, torch.float32), Case(case.seed, torch.float64)
    if single.run is None or double.run is None:
        return None
    wrong = same_gradient(double) or closes(double) or unchanged(double) or verified(double)
    if wrong is not None:
        return f"in float64: {wrong}"
    far = [
        name
        for name, wanted in double.plain.log2_norms2.items()
        if not abs(single.plain.log2_norms2.get(name, -inf) - wanted) < 1e-3
    ]
    if far or _names(single.run) == _names(double.run):
        return None  # another branch, or rounding that the network itself makes much of
    return "another graph in float64"


def _counts(sketch: ds.Sketch | None) -> Any:
    if sketch is None:
        return None
    t = sketch.tally
    exact = t.zeros, t.tiny, t.infinities, t.nans, t.smallest, t.largest
    return t.patterns.tolist(), t.counts.tolist(), exact


def alike_on_two_threads(case: Case) -> Broken:
    """On one thread and on two the counts are the same; every fiftieth, of so many values
    that both threads count."""
    if case.seed % TWINS_EVERY:
        return None
    runs: list[Case] = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            runs.append(Case(case.seed, rows=300_000, steps=3, tables=(ELEMENTWISE,)))
        finally:
            torch.set_num_threads(before)
    one, two = runs
    if one.run is None or two.run is None:
        return None if type(one.error) is type(two.error) else f"{one.error!r}, {two.error!r}"
    if one.plain.output is None or two.plain.output is None:
        return None
    if not torch.equal(one.plain.output, two.plain.output):
        return None  # torch's own sums differ
    for a, b in zip(one.run.ops, two.run.ops, strict=True):
        if _counts(a.activation) != _counts(b.activation):
            return f"other counts at {a.name}"
    return None


INVARIANTS: dict[str, Callable[[Case], Broken]] = {
    "unchanged": unchanged,
    "raises alike": raises_alike,
    "warns alike": warns_alike,
    "verified": verified,
    "same gradient": same_gradient,
    "closes or says why": closes,
    "contributions add up": contributions_add_up,
    "loads again": loads_again,
    "every verb answers": answers,
    "every picture is drawn": draws,
    "alike in float64": alike_in_float64,
    "alike on two threads": alike_on_two_threads,
}


def broken(seed: int) -> list[tuple[str, str]]:
    """The invariants that the network of a seed breaks, each with what is wrong."""
    case = Case(seed)
    found = ((name, invariant(case)) for name, invariant in INVARIANTS.items())
    return [(name, wrong) for name, wrong in found if wrong is not None]
