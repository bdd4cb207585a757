"""Names that a person types, some with a parameter in parentheses."""

from re import fullmatch


def name_and_parameter(text: str) -> tuple[str, str | None]:
    """ "leaky_relu(0.2)" -> ("leaky_relu", "0.2"); a text without parentheses is a name alone."""
    parts = fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", text)
    return (parts[1], parts[2]) if parts else (text, None)
