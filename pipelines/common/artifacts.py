"""Flags of the artifacts to write: their folder, formats, precisions and versions."""

from collections.abc import Sequence

from absl import flags

from pipelines.common import paths, values

FLAGS = flags.FLAGS


def define(
    exports: str,
    formats: Sequence[str],
    precisions: Sequence[str],
    *,
    known: tuple[Sequence[str], Sequence[str]],
    keep: int,
    hint: str = "",
) -> None:
    """Defines the flags.

    Args:
        exports: the folder by default, in words.
        formats: formats by default.
        precisions: precisions by default.
        known: the formats and the precisions that there are.
        keep: number of versions to keep by default.
        hint: end of the help of `--precision`.
    """
    text = f"Folder for exported artifacts; {exports} if None."
    paths.define("exports", paths.FOLDER, None, text)
    for name, default, what, names in (
        ("formats", formats, "Formats", known[0]),
        ("precision", precisions, "Precisions of TFLite files", known[1]),
    ):
        text = f"{what}, some of {', '.join(names)}{hint if name == 'precision' else ''}."
        values.define_names(name, default, text, tuple(names))
    values.define_integer(
        "keep_versions", keep, "Number of versions to keep.", least=1, most=values.MANY
    )
