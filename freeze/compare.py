"""Compares two sets of frozen records bit for bit, but for the differences that are accepted.

Usage: python freeze/compare.py BASE.json HEAD.json
accepted.json maps a regular expression of "record/path/of/keys" to the reason for its change.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ALWAYS = re.compile(r"/(environment|version)(/|$)|/says$|/advice$|/verdict$|/why$|/notes/")


def differences(a: Any, b: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Where two records differ: path, what stood there, what stands there."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {**a, **b}:
            yield from differences(a.get(key), b.get(key), f"{path}/{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from differences(x, y, f"{path}/{k}")
    elif a != b:
        yield path, a, b


def main(base: str, head: str) -> None:
    accepted = json.loads((Path(__file__).parent / "accepted.json").read_text())
    patterns = {re.compile(pattern): reason for pattern, reason in accepted.items()}
    found = list(
        differences(json.loads(Path(base).read_text()), json.loads(Path(head).read_text()), "")
    )
    words = [each for each in found if ALWAYS.search(each[0])]
    left = [
        each
        for each in found
        if each not in words and not any(pattern.search(each[0]) for pattern in patterns)
    ]
    kinds = Counter(re.sub(r"/\d+", "/*", path.partition("/")[2]) for path, _, _ in left)
    print(f"{len(found)} differences, {len(words)} of them words, {len(left)} not accepted")
    for kind, n in kinds.most_common(30):
        print(f"{n:6d} {kind[:140]}")
    for path, a, b in left[:10]:
        print(f"{path}\n   {str(a)[:200]}\n   {str(b)[:200]}")
    sys.exit(bool(left))


if __name__ == "__main__":
    main(*sys.argv[1:])
