"""Control characters, which a name may hold, and which neither a page nor a terminal may obey: they
turn the direction of what follows, move the cursor or change its colours."""

import re

# the C0 and C1 controls but for tab and newline; separators of lines and paragraphs; marks and
# overrides of direction (Unicode TR9)
_RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SPELLED = re.compile(
    r"\\u(?:00[01][0-9a-f]|00[89][0-9a-f]|007f|061c|200[ef]|202[89a-e]|206[6-9])", re.IGNORECASE
)


def disarm(text: str) -> str:
    """The text with a replacement character for each of them, also where JSON spells them out."""
    return _SPELLED.sub(r"\\ufffd", _RAW.sub("\ufffd", text))
