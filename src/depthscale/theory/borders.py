"""Borders: what every operation makes of positions that zeros around an image have made unlike
(`profiles`)."""

from collections.abc import Sequence
from dataclasses import replace
from math import log2, prod

import numpy as np

from depthscale.network import (
    Add,
    Affine,
    Attention,
    Conv,
    Dropout,
    Elementwise,
    Flatten,
    Norm,
    Operation,
    Part,
    Pool,
    Window,
    activation,
)
from depthscale.theory.laws import Gaussian, Spherical
from depthscale.theory.moments import powers
from depthscale.theory.neurons import largest
from depthscale.theory.positions import of_windows
from depthscale.theory.profiles import (
    Profile,
    backward_taps,
    centred,
    forward_taps,
    log_variance,
    mixed,
    profile_of,
    raised,
    squared_root,
)
from depthscale.theory.states import Gradient, Signal, log2_of


def forward(what: Operation, inputs: Sequence[Signal], x: Signal) -> Signal:
    """An output with the profile that its operation leaves. / x: the output for positions that are
    alike."""
    match what:
        case Pool(kind="max") if x.positions > 1:
            mean, pairs, profile, common = _profile_of_largest(what.window, inputs[0])
            x = replace(x, log2_ms=x.log2_ms + log2(mean), common=common)
            return _with_profile(x, profile, pairs) if profile else x
        case Conv() | Pool() if x.positions > 1:
            found = forward_taps(what.window, inputs[0].profile, inputs[0].common)
            if not (found.profile or found.common):
                return x
            left = 1 - x.ratio if isinstance(what, Conv) else 0.0
            wavering = 2 * found.pattern * (inputs[0].ratio / left) ** 2 if left > 0 else 0.0
            return replace(x, profile=found.profile, common=found.common, wavering=wavering)
        case Norm(kind="batch", statistics="batch" | "frozen"):
            profile = centred(inputs[0].profile, inputs[0].common, inputs[0].ratio)
        case Conv() | Pool() | Flatten() | Part() | Attention() | Norm(kind="layer" | "rms"):
            profile = None
        case Add(scale):
            stream, branch = inputs
            share = 1 / (1 + scale**2 * 2.0 ** (branch.log2_ms - stream.log2_ms))
            profile = mixed(stream.profile, branch.profile, share)
        case Affine() | Dropout():
            y = inputs[0]
            return replace(x, profile=y.profile, common=y.common, wavering=y.wavering)
        case _:
            profile = inputs[0].profile
    if profile is None:
        return x
    if not isinstance(what, Elementwise):
        return replace(x, profile=profile)
    (power, bend), _ = _powers(what, inputs[0])
    mean, profile = raised(profile, power)
    error = x.error + abs(bend) * log_variance(profile) / 2
    return _with_profile(
        replace(x, log2_ms=x.log2_ms + log2(mean), error=error), profile, squared_root(profile)
    )


def _with_profile(x: Signal, profile: Profile, pairs: float) -> Signal:
    """Ratios, known for two points at one place, become those of the mean over all pairs, which is
    that times `pairs`."""
    near, spread = (
        None if x.near is None else x.near * pairs,
        x.log2_ms + log2_of(1 - x.ratio * pairs),
    )
    return replace(x, profile=profile, ratio=x.ratio * pairs, near=near, log2_spread=spread)


def _powers(what: Elementwise, x: Signal) -> tuple[tuple[float, float], tuple[float, float]]:
    """As `moments.powers`; of what is sampled that is homogeneous, or the whole power counts as
    error."""
    if isinstance(x.law, Gaussian | Spherical):
        return powers(what.activation, x.law)
    even = 0.0 if activation(what.activation).homogeneous else 2.0
    return (1.0, even), (0.0, even)


def backward(what: Operation, x: Signal, above: Gradient, g: Gradient) -> Gradient:
    """A gradient with the profile that the operation above it leaves. / x: the operation's input;
    g: as if positions were alike."""
    match what:
        case Conv() | Pool() if what.window.places_out > 1:
            profile = backward_taps(what.window, above.profile).profile
        case Conv() | Pool() | Flatten() | Part() | Attention():
            profile = None
        case Norm(kind="layer" | "rms") if (
            x.profile is not None
        ):  # each position is divided by its own
            mean, profile = raised(x.profile, -1.0, above.profile)
            g = g.times(log2(mean))
        case Elementwise() if x.profile is not None:
            _, (power, bend) = _powers(what, x)
            mean, profile = raised(x.profile, power, above.profile)
            g = g.times(log2(mean))._replace(
                error=g.error + abs(bend) * log_variance(x.profile) / 2
            )
        case _:
            profile = above.profile
    return g if profile is None or x.positions == 1 else g._replace(profile=profile)


def _profile_of_largest(
    window: Window, x: Signal
) -> tuple[float, float, Profile | None, Profile | None]:
    """Of each axis as if windows were cut there alone, times the mean of the input's own profile in
    a window.

    returns: by what the mean square is larger for that profile; the mean product over all pairs,
    over that of two points at one place; the output's profile, and what it has in common.
    """
    source, _ = of_windows(window, x)
    cut, seen, roots = [], [], []
    for i, axis in enumerate(window.axes):
        counts, others = (axis >= 0).sum(axis=1).tolist(), window.taps // window.kernel[i]
        found = {
            n: largest(source.activation, source.received, source.near, n * others)
            for n in set(counts)
        }
        m = np.append(x.profile[i], 0.0) if x.profile else np.append(np.ones(window.size[i]), 0.0)
        mean = m[axis].sum(axis=1) / counts
        cut.append(np.array([found[n].square for n in counts]))
        seen.append(cut[-1] * mean)
        roots.append(np.sqrt([max(found[n].product, 0.0) for n in counts] * mean))
    larger = prod(
        float(after.mean() / before.mean()) for before, after in zip(cut, seen, strict=True)
    )
    pairs = prod(
        float(root.mean() ** 2 / np.square(root).mean()) if root.any() else 1.0 for root in roots
    )
    return (
        larger,
        pairs,
        profile_of(seen),
        profile_of(roots) if all(root.any() for root in roots) else None,
    )
