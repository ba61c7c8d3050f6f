"""The cost of a network, as plain data."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Count:
    """A count of `Cost` that may be limited by a budget, registered in `COUNTS` under its name.

    Attributes:
        flag: name of the count in flags, such as "madds".
        budget_flag: flag of its limit, such as "max_madds".
        words: name in messages, behind the number: "multiply-adds".
        label: name on axes and in tables, with the unit: "multiply-adds (M)".
        unit: a number is divided by this to be shown under `label`.
        digits: format of the number in messages.
    """

    flag: str
    budget_flag: str
    words: str
    label: str
    unit: float = 1e6
    digits: str = ",.0f"


COUNTS: Mapping[str, Count] = {
    "multiply_adds": Count("madds", "max_madds", "multiply-adds", "multiply-adds (M)"),
    "parameters": Count("params", "max_params", "parameters", "parameters (M)"),
    "task_parameters": Count(
        "task_params", "max_task_params", "task parameters", "task parameters (M)"
    ),
    "latency_ms": Count(
        "latency", "max_latency_ms", "ms of latency", "predicted latency (ms)", 1.0, ",.3g"
    ),
}


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a network.

    Attributes:
        multiply_adds: multiply-adds for one image, classifier included.
        parameters: parameters of the whole network, moving statistics not included.
        task_parameters: numbers stored for the task alone, moving statistics included.
        universal_blocks: number of universal blocks that run.
        proxies: number of proxies that run.
        latency_ms: predicted latency of one image, milliseconds; `None` if the latencies of the
            network's pieces were not measured.
    """

    multiply_adds: int
    parameters: int
    task_parameters: int
    universal_blocks: int
    proxies: int
    latency_ms: float | None = None

    def __getitem__(self, count: str) -> float | None:
        """A count by its name, such as "parameters"."""
        return getattr(self, count)

    def as_dict(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Cost":
        """The inverse of `as_dict`."""
        return cls(**data)


def in_words(counts: Mapping[str, float]) -> str:
    """Counts of `Cost`, by name, in words: "20,000,000 multiply-adds, 4 ms of latency"."""
    known = ((COUNTS[name], value) for name, value in counts.items())
    return ", ".join(f"{value:{count.digits}} {count.words}" for count, value in known)
