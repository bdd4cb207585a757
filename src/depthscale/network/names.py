"""Names: those that a person types, some with a parameter in parentheses; and how any is shown."""

from re import compile, fullmatch

# control characters but tabs and ends of lines, marks of direction, the mark of a byte order
_STEERS = compile(
    "[\0-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def visible(text: str) -> str:
    """A text that does not steer what shows it: "\\x1b" becomes "⟨U+001B⟩"."""
    return _STEERS.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def name_and_parameter(text: str) -> tuple[str, str | None]:
    """ "leaky_relu(0.2)" -> ("leaky_relu", "0.2"); a text without parentheses is a name alone."""
    parts = fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", text)
    return (parts[1], parts[2]) if parts else (text, None)
