"""Options of the export of one task."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from export import formats as registry
from export.format import ArtifactOptions, Format
from export.metadata import ArtifactError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(ArtifactOptions):
    """Options of the export of one task.

    Attributes:
        formats: names of formats, some of `formats.FAMILIES`; all by default.
        precisions: precisions of formats that have several, some of `formats.precisions`; all by
            default. Other formats are float32.
        keep_versions: versions that are kept, 1 or more.
        measure: whether latency and memory are measured.
        supersede: whether a version may follow versions of another task under the same name.

    Raises:
        ArtifactError: a value is unknown or outside of its range.
    """

    formats: tuple[str, ...] = dataclasses.field(default_factory=lambda: tuple(registry.FAMILIES))
    precisions: tuple[str, ...] = dataclasses.field(default_factory=registry.precisions)
    keep_versions: int = 3
    measure: bool = True
    supersede: bool = False

    def __post_init__(self):
        registry.check_known("formats", self.formats, tuple(registry.FAMILIES))
        registry.check_known("precisions", self.precisions, registry.precisions())
        if self.keep_versions < 1:
            raise ArtifactError(f"keep_versions is {self.keep_versions}; expected 1 or more.")
        for family in registry.FAMILIES.values():
            family.formats(self)  # refuses the values that only the family knows about

    def artifacts(self) -> list[Format]:
        """Formats of the artifacts to make, one for each, in the order of the registry."""
        chosen = [family for name, family in registry.FAMILIES.items() if name in self.formats]
        return [each for family in chosen for each in family.formats(self)]

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Options":
        """The inverse of `as_dict`."""
        lists = {name: tuple(data[name]) for name in ("formats", "precisions")}
        return cls(**{**data, **lists})
