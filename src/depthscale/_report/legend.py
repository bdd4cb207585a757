"""Names for several records drawn together, by what tells them apart."""

from collections.abc import Sequence

from depthscale.run import Profile, Trace

_TOLD_APART = ("model", "mode", "loss", "seed", "batch", "repeats", "loss_scale", "initializations")


def profile_names(profiles: Sequence[Profile]) -> dict[str, Profile]:
    """Profiles by what tells them apart: the fields of their networks that differ, or how they came
    to be."""
    records = [
        dict(profile.spec) | {"loss": profile.loss, "source": profile.source, "seed": profile.seed}
        for profile in profiles
    ]
    keys = [key for key in records[0] if len({str(record.get(key)) for record in records}) > 1]
    named: dict[str, Profile] = {}
    for i, (record, profile) in enumerate(zip(records, profiles, strict=True)):
        told = ", ".join(
            str(record.get(key)) if key == "source" else f"{key} {record.get(key)}" for key in keys
        )
        named[told if told and told not in named else f"{told or 'profile'} ({i + 1})"] = profile
    return named


def trace_names(traces: Sequence[Trace]) -> dict[str, Trace]:
    """Traces by what tells them apart, else by number."""
    keys = [key for key in _TOLD_APART if len({getattr(trace, key) for trace in traces}) > 1]
    named: dict[str, Trace] = {}
    for i, trace in enumerate(traces):
        values = {key: getattr(trace, key) for key in keys}
        told = ", ".join(
            str(value) if key in ("model", "mode") else f"{key} {value}"
            for key, value in values.items()
        )
        named[told if told and told not in named else f"{told or trace.model} ({i + 1})"] = trace
    return named
