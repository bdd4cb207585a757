"""Other tools, each as its own documentation shows it, looking at every step. What they see differs
much: it stands beside."""

import warnings
from importlib import import_module
from typing import Any

from torch import nn

from benchmarks.candidates import (
    Candidate,
    Case,
    Step,
    anomaly,
    hooks,
    scalars,
    watched_for_nan,
    with_histogram,
)


def traced(case: Case) -> Any:
    """TorchLens' record of a step."""
    options = import_module("torchlens.options").CaptureOptions(save_grads=True)
    given = {"input_kwargs": case.inputs} if isinstance(case.inputs, dict) else {}
    record = import_module("torchlens").trace
    trace = record(case.model, () if given else case.inputs, capture=options, **given)
    trace.log_backward(case.workload.loss(trace[trace.output_layers[0]].out, case.inputs))
    return trace


def torchlens_step(case: Case) -> Step:
    return lambda: traced(case)


def torchlens_audit(case: Case) -> tuple[bool, str]:
    audit = import_module("torchlens.debug._gradients").gradient_flow_audit_rows
    rows, counts = audit(traced(case), grad_scale=1.0)
    found = {name: counts[name] for name in ("exploding", "vanishing", "dead")}
    words = ", ".join(f"{count} {name}" for name, count in found.items())
    return any(found.values()), f"`gradient_flow_audit`: {len(rows)} operations, {words}"


class UsersOwn(nn.Module):
    """A model as a module of the user's own; of a bare Sequential unit-scaling sees nothing."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.body(*args, **kwargs)


def unit_scaling(case: Case) -> Step:
    case.model = import_module("unit_scaling.transforms").track_scales(UsersOwn(case.model))
    return case.train


def observed(case: Case) -> tuple[Any, Step]:
    """neural-observatory, told to keep statistics and no tensors, as its cheapest setting."""
    package = import_module("neural_observatory")
    observatory = package.Observatory(case.model, package.ObservatoryConfig(stats_only_mode=True))
    observatory.watch()

    def step() -> None:
        observatory.step()
        case.train()

    return observatory, step


def observatory_report(case: Case) -> tuple[bool, str]:
    observatory, step = observed(case)
    step()
    report = observatory.report()
    about = sorted({each.analyzer_name for each in report.warnings()})
    return (
        any("gradient" in name for name in about),
        f"`report`: {len(report.warnings())} warnings ({', '.join(about) or 'none'})",
    )


def monitorch(case: Case) -> Step:
    lens = import_module("monitorch.lens")
    inspector = import_module("monitorch.inspector").PyTorchInspector
    visualizer = import_module("monitorch.visualizer").DummyVisualizer()
    lenses = [lens.OutputNorm(), lens.OutputActivation(), lens.OutputGradientGeometry()]
    kept = inspector(lenses, module=case.model, visualizer=visualizer)

    def step() -> None:
        case.train()
        kept.tick_epoch()

    return step


def module_monitor(case: Case) -> Step:
    monitor = import_module("torch_module_monitor").ModuleMonitor(lambda step: True)
    monitor.set_module(case.model)
    for name, metric in (("std", lambda x: x.std()), ("max", lambda x: x.abs().max())):
        monitor.add_activation_metric(name, metric)
        monitor.add_parameter_metric(name, metric)
        monitor.add_gradient_metric(name, metric)
    count = iter(range(10**9))

    def step() -> None:
        monitor.begin_step(next(count))
        case.train()
        monitor.monitor_parameters()
        monitor.monitor_gradients()
        monitor.end_step()

    return step


def own(*row: Any) -> Candidate:
    return Candidate(*row, is_peer=True)


def installed(*row: Any) -> Candidate:
    return Candidate(*row, is_peer=True, is_installed=True)


PEERS: dict[str, Candidate] = {
    "hooks": own("hooks", "each module: deviation and extreme, both ways", hooks(scalars)),
    "histograms": own("hooks, `histc`", "the same and 64 bins, both ways", hooks(with_histogram)),
    "anomaly": own("`detect_anomaly`", "whether a gradient is NaN", watched_for_nan, anomaly),
    "observatory": installed(
        "neural-observatory",
        "modules that are no norms: scalars, both ways",
        lambda case: observed(case)[1],
        observatory_report,
    ),
    "monitorch": installed("monitorch", "each module: norms and shares, both ways", monitorch),
    "monitor": installed(
        "torch-module-monitor",
        "two scalars of modules' outputs, parameters and their gradients",
        module_monitor,
    ),
    "unitscaling": installed(
        "unit-scaling", "every traced operation: five scalars, both ways", unit_scaling
    ),
    "torchlens": installed(
        "TorchLens", "every operation, its tensors kept, both ways", torchlens_step, torchlens_audit
    ),
}
warnings.simplefilter("ignore")  # the tools' own; what goes wrong is raised
