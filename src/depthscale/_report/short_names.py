"""Long names cut where it hurts least: in the middle, since the beginning says which tower and the
end which operation."""

from collections.abc import Sequence

_LETTERS = 26
_KEPT = 20  # letters of a name at an axis


def cut_middle(name: str, room: int = _LETTERS, mark: str = "…") -> str:
    """The name in so many letters, its end favoured."""
    if len(name) <= room:
        return name
    kept = max(room - len(mark), 2)
    begin = kept // 3
    return f"{name[:begin]}{mark}{name[len(name) - (kept - begin) :]}"


def named_with_kind(name: str, kind: str) -> str:
    """A name; with its kind where it is a number alone, as in a Sequential."""
    return f"{kind} {name}" if name.isdecimal() else name


def axis_labels(names: Sequence[str], shared_by: Sequence[str]) -> list[str]:
    """Names for an axis: without what some of them begin with in common, and cut in the middle.

    Args:
        names: all of them.
        shared_by: those whose common beginning says nothing; two components of each are kept.
    """
    parts = [name.split(".") for name in shared_by]
    same = 0
    while parts and all(len(p) > same + 2 and p[same] == parts[0][same] for p in parts):
        same += 1
    shared = "".join(f"{part}." for part in (parts[0][:same] if parts else ()))
    return [cut_middle(name.removeprefix(shared), _KEPT) for name in names]
