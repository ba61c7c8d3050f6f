"""The cost of a network, as plain data."""

import dataclasses
from collections.abc import Mapping
from typing import Any

COMPLEXITIES = ("multiply_adds", "parameters", "latency_ms")  # counts of `Cost` that E[C] may use


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
    words = []
    for name, value in counts.items():
        unit = "ms of latency" if name == "latency_ms" else name.replace("_", "-")
        words.append(f"{value:,.3g} {unit}" if name == "latency_ms" else f"{value:,.0f} {unit}")
    return ", ".join(words)
