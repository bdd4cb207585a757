"""Long names cut where it hurts least: in the middle, since the beginning says which tower and the
end which operation."""

_LETTERS = 26


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
