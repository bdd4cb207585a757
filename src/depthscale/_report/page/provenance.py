"""What it takes to have the same numbers again: versions, seeds, the command, the network."""

import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from math import isfinite, prod
from typing import Any

from depthscale._report.page.assemble import Part, section
from depthscale._report.page.html import Html, tag
from depthscale.network import NetSpec
from depthscale.run import Probed, Run

_PACKAGES = ("depthscale", "torch", "numpy", "scipy", "numba")
_SHOWN_ELSEWHERE = ("residual",)
_OWN = "no command gives this: the model, its loss or its inputs are the user's own"
_LOSSES = ("independent", "shared")


def provenance(*profiles: Run) -> Part:
    """Commands, networks and versions."""
    return again(*map(_one, profiles))


def trace_provenance(traces: Mapping[str, Run]) -> Part:
    """The call, the model and the versions behind each trace, by the name that the page gives
    it."""
    named = traces.items() if len(traces) > 1 else (("", trace) for trace in traces.values())
    return again(*(_probed(name, trace) for name, trace in named))


def reproduced(line: str, facts: str) -> Part:
    """A command, and what it does not say."""
    return again(tag("pre", line or _OWN), tag("p", facts, class_="note"))


def again(*calls: Html) -> Part:
    """How to have the numbers again, and the versions of what computed them."""
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    versions = tag("p", f"{packages}, Python {platform.python_version()}", class_="note")
    return section("reproduce", "To have these numbers again", *calls, versions)


def _probed(name: str, trace: Run) -> Html:
    call = (
        f"depthscale.probe(model, inputs, loss={trace.loss!r}, seed={trace.seed}, "
        f"repeats={trace.passes})"
    )
    parameters = (
        f"{sum(prod(each.shape) for each in trace.params):,} parameters, " if trace.params else ""
    )
    probed = trace.origin if isinstance(trace.origin, Probed) else None
    environment, loss_scale = (probed.environment, probed.loss_scale) if probed else ({}, 1.0)
    where = ", ".join(f"{what} {value}" for what, value in environment.items())
    scale = f", loss scale {loss_scale:g}" if isfinite(loss_scale) and loss_scale != 1 else ""
    facts = f"{trace.model}, {parameters}{trace.mode} mode, batch {trace.batch}{scale}; {where}"
    return tag(
        "div",
        *([tag("h3", name)] if name else []),
        tag("pre", call),
        tag("p", facts, class_="note"),
    )


def command(profile: Run) -> str:
    """The command line that gives this profile; nothing where a loss or data of one's own took
    part."""
    if "model" in profile.spec or profile.loss not in _LOSSES or profile.inputs != "white noise":
        return ""
    verb, drawn = "predict", {}
    if profile.networks:
        verb, drawn = "simulate", {"seeds": profile.networks, "seed": profile.seed}
    run = flags({"loss": profile.loss, **drawn})
    return shlex.join(["depthscale", verb, *options(profile.spec), *run])


def options(spec: Mapping[str, Any], usual: Mapping[str, Any] | None = None) -> list[str]:
    """The fields of a network that differ from the defaults, as options. / usual: a command's own
    defaults."""
    usual = usual or NetSpec().record()
    given = {
        name: value for name, value in spec.items() if name not in usual or value != usual[name]
    }
    residual = given.pop("residual", None) or {}
    given |= {f"residual.{name}": value for name, value in residual.items()}
    if given.get("widths"):
        given.pop("width", None)  # it is the first of them
    return flags(given)


def flags(given: Mapping[str, Any]) -> list[str]:
    """As options, one for each value of a list."""
    pairs = [
        (name, each)
        for name, value in given.items()
        for each in (value if isinstance(value, list | tuple) else [value])
    ]
    return [word for name, value in pairs for word in (f"--{name.replace('_', '-')}", f"{value}")]


def _one(profile: Run) -> Html:
    line = command(profile)
    given = {
        name: value
        for name, value in profile.spec.items()
        if value is not None and name not in _SHOWN_ELSEWHERE
    }
    fields = ", ".join(f"{name} = {value}" for name, value in given.items())
    run = (
        f"seeds {profile.seed} to {profile.seed + profile.networks - 1}, "
        if profile.networks
        else ""
    )
    return tag(
        "div",
        tag("pre", line or _OWN),
        tag("p", f"{run}loss {profile.loss}, inputs {profile.inputs}; {fields}", class_="note"),
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(version unknown)"
