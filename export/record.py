"""The record of an export, `export.json`, and its summary for people, `summary.md`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from export import benchmark, parity
from export.benchmark import Result
from export.format import QuantisationAware, SelectiveQuantisation
from export.options import Options
from export.parity import Parity
from tailor_tf.support.text import aligned


@dataclasses.dataclass(frozen=True)
class ExportRecord:
    """Figures of the artifacts of one export; mappings are by the artifacts' names.

    Attributes:
        task: the task's name.
        split: name of the split that artifacts were compared on.
        options: the options of the export.
        bytes: sizes on disk.
        gzip_bytes: sizes when compressed by gzip.
        parity: comparison with the network.
        quantisation_aware: accuracies of the artifact that was trained with quantisation, if any.
        selective: layers of the int8 artifact that stayed float, if any.
        benchmark: latency and memory; `None` where they were not measured.
        pack: SHA-256 of the task pack that the artifacts were made of, where it is known.
        sha256: SHA-256 of each file beside the record; `versions.Versions` adds it.
    """

    task: str
    split: str
    options: Options
    bytes: Mapping[str, int]
    gzip_bytes: Mapping[str, int]
    parity: Mapping[str, Parity]
    quantisation_aware: QuantisationAware | None
    selective: SelectiveQuantisation | None = None
    benchmark: tuple[Result, ...] | None = None
    pack: str | None = None
    sha256: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        record = dataclasses.asdict(self)
        if self.benchmark is None:
            del record["benchmark"]
        return record

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ExportRecord":
        """The inverse of `as_dict`."""
        trained, measured = data["quantisation_aware"], data.get("benchmark")
        mixed = data.get("selective")  # missing in earlier records
        return cls(
            task=data["task"],
            split=data["split"],
            options=Options.from_dict(data["options"]),
            bytes=data["bytes"],
            gzip_bytes=data["gzip_bytes"],
            parity={name: Parity(**found) for name, found in data["parity"].items()},
            quantisation_aware=trained and QuantisationAware(**trained),
            selective=mixed
            and SelectiveQuantisation(**{**mixed, "layers": tuple(mixed["layers"])}),
            benchmark=None if measured is None else tuple(Result(**each) for each in measured),
            pack=data.get("pack"),  # both missing in earlier records
            sha256=data.get("sha256", {}),
        )

    def summary(self) -> str:
        """Tables of parity, sizes and measurements, Markdown."""
        parts = ["\n".join(aligned(self._table(), 1))]
        if self.selective is not None:
            parts.append(_selection(self.selective))
        if self.quantisation_aware is not None:
            parts.append(_quantisation(self.quantisation_aware))
        if self.benchmark is not None:
            parts.append("\n".join(aligned(benchmark.table(self.benchmark), 2)))
        return "\n\n".join(parts) + "\n"

    def _table(self) -> list[list[str]]:
        header, *rows = parity.table(self.parity)
        sizes = [
            [f"{count[name] / 1e3:,.0f}" for count in (self.bytes, self.gzip_bytes)]
            for name in self.parity
        ]
        both = [row + own for row, own in zip(rows, sizes, strict=True)]
        return [[*header, "size (KB)", "gzip (KB)"], *both]


def _selection(selective: SelectiveQuantisation) -> str:
    return (
        f"{', '.join(selective.layers)} of the int8 file stayed float: on validation "
        f"{100 * selective.before:.2f} % with all layers in int8 and {100 * selective.after:.2f} % "
        f"with these in float, {100 * selective.expected:.2f} % in float32."
    )


def _quantisation(trained: QuantisationAware) -> str:
    before, after, expected = (
        f"{100 * share:.2f} %" for share in (trained.before, trained.after, trained.expected)
    )
    return (
        f"int8 was trained with quantisation: on validation {before} before and {after} after, "
        f"{expected} in float32."
    )
