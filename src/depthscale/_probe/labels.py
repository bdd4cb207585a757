"""Names of operations, as a person would point at them."""

from collections import Counter
from collections.abc import Sequence

from depthscale._probe.recorder import Draft
from depthscale.network import is_input


def labels(drafts: Sequence[Draft]) -> list[str]:
    """A name for every operation: its module's path where the module runs it alone, else with the
    function's; "#k" from the second use on."""
    together = Counter((draft.path, draft.call) for draft in drafts)
    seen: Counter[str] = Counter()
    found = []
    for draft in drafts:
        by_itself = is_input(draft.op) or (
            draft.leaf_module and draft.path and together[draft.path, draft.call] == 1
        )
        plain = (
            draft.path if by_itself else ".".join(part for part in (draft.path, draft.op) if part)
        )
        seen[plain] += 1
        found.append(plain if seen[plain] == 1 else f"{plain}#{seen[plain]}")
    return found
