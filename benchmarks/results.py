"""What was measured: by workload and candidate, the steps of all its processes together."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.rule import Probed

PLAIN = "plain"


@dataclass
class Results:
    """The records of `benchmarks.measure`, by (round, workload, candidate)."""

    records: dict[tuple[int, str, str], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Results":
        """What stands in a file of JSON lines, or nothing yet."""
        lines = path.read_text().splitlines() if path.exists() else []
        return cls({tuple(key): found for *key, found in map(json.loads, lines)})

    def add(self, turn: int, workload: str, name: str, found: dict[str, Any]) -> None:
        self.records[turn, workload, name] = found

    def has(self, turn: int, workload: str, name: str) -> bool:
        return (turn, workload, name) in self.records

    def of(self, workload: str, name: str) -> list[dict[str, Any]]:
        """The records of all rounds."""
        return [found for (_, *key), found in self.records.items() if key == [workload, name]]

    def steps(self, workload: str, name: str, memory: str, what: str = "seconds") -> list[float]:
        """[steps] seconds or page faults, with memory as in a "loop" or "kept"."""
        found = self.of(workload, name)
        return [x for each in found for x in each.get(memory, {}).get(what, ())]

    def error(self, workload: str, name: str) -> str | None:
        return next((e for each in self.of(workload, name) if (e := each.get("error"))), None)

    def ratio(
        self, workload: str, name: str, memory: str = "kept", is_mean: bool = False
    ) -> float | None:
        """A candidate's median or mean over plain training's."""
        ours, plain = (self.steps(workload, each, memory) for each in (name, PLAIN))
        middle = mean if is_mean else median
        return middle(ours) / middle(plain) if ours and plain else None

    def least(self, workload: str, name: str, key: str) -> float | None:
        """The least of a number that every process tells."""
        return min((each[key] for each in self.of(workload, name) if key in each), default=None)

    def probed(self, workload: str) -> Probed | None:
        """What the rule of thumb is fitted to: means of the loop as it is."""
        plain, probe = (self.steps(workload, each, "loop") for each in (PLAIN, "probe"))
        if not (plain and probe):
            return None
        sees = next(each for each in self.of(workload, "probe") if "values" in each)
        return Probed(mean(plain), mean(probe), sees["operations"], sees["values"])
