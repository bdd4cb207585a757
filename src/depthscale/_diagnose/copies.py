"""Rule on layers that begin as copies of one another."""

from collections.abc import Iterator

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale.measure import Analysis


def copy_findings(case: Analysis) -> Iterator[Finding]:
    """Parameters of several layers with the same values: one finding for all."""
    maps = {name for op in case.trace.ops if op.map is not None for name, *_ in op.weights}
    copies = [p for p in case.trace.params if p.same_as and p.name in maps]
    if not copies:
        return
    firsts = list(dict.fromkeys(p.same_as for p in copies))
    yield Finding(
        "layers-equal",
        "info",
        copies[0].name,
        f"{len(copies)} parameters begin with the values of others, bit for bit (as "
        f"{copies[0].name} those of {copies[0].same_as}): layers that are copies multiply what "
        "they share, and theory for independent ones does not hold",
        {"parameters": len(copies), "originals": len(firsts)},
        "torch.nn.TransformerEncoder, which deep-copies the layer that it is given",
        advice_on(Trouble.COPIES),
    )


COPIES = Check(
    copy_findings,
    (
        Rule(
            ("layers-equal",),
            "weights of several layers have the same values, as those of "
            "`torch.nn.TransformerEncoder`: a remark",
        ),
    ),
)
