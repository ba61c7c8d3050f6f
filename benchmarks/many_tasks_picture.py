"""Draws bytes on disk by number of tasks, in one artifact and separate, from Markdown tables.

    python -m benchmarks.many_tasks_picture --tables=docs/performance.md \\
        --picture=docs/many_tasks.svg

The tables are the output of `benchmarks.bundle_files` and `benchmarks.bundle_formats`. The first
table of each format is used that has columns for format or precision, tasks, and megabytes.
"""

import collections
import pathlib
import re

from absl import flags

from pipelines.common import paths, program
from tailor_tf.support.drawing import BLUE, ORANGE, save
from tailor_tf.support.errors import TailorError

FLAGS = flags.FLAGS
paths.define("tables", paths.FILE, None, "File with the tables.", required=True)
paths.define("picture", paths.FILE, None, "Picture to write, .svg or .png.", required=True)

_TOGETHER = ("together (MB)", "one file (MB)")
_SEPARATE = "separate (MB)"

Sizes = dict[str, list[tuple[int, float, float]]]  # by format: tasks, together, separate


def read(text: str) -> Sizes:
    """Sizes by format from the first table of each format in a text."""
    found: Sizes = collections.defaultdict(list)
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, _, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        )
        kind = next((name for name in ("format", "precision") if name in header), None)
        together = next((name for name in _TOGETHER if name in header), None)
        if not kind or not together or "tasks" not in header:
            continue
        table = [dict(zip(header, row, strict=True)) for row in rows]
        new = {f"TFLite {r[kind]}" if kind == "precision" else r[kind] for r in table} - set(found)
        for row in table:
            name = f"TFLite {row[kind]}" if kind == "precision" else row[kind]
            if name in new:
                sizes = (float(row[together]), float(row[_SEPARATE]))
                found[name].append((int(row["tasks"]), *sizes))
    return found


def draw(sizes: Sizes, path: pathlib.Path) -> None:
    """Draws a panel for each format."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 * len(sizes), 2.9), facecolor="white", layout="constrained")
    for axes, (name, rows) in zip(figure.subplots(1, len(sizes)), sizes.items(), strict=True):
        tasks, together, separate = zip(*rows, strict=True)
        axes.plot(tasks, separate, "o-", color=ORANGE, markersize=3, label="separate, folded")
        axes.plot(tasks, together, "o-", color=BLUE, markersize=3, label="together")
        axes.set(title=name, xlabel="tasks", ylim=(0, None), xticks=tasks)
        axes.title.set_size(9)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("on disk (MB)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    save(figure, path)


def main(argv: list[str]) -> None:
    """Draws the picture that the flags name."""
    program.no_arguments(argv)
    sizes = read(pathlib.Path(FLAGS.tables).read_text(encoding="utf-8"))
    if not sizes:
        raise TailorError(
            f"{FLAGS.tables} holds no table of sizes by number of tasks; expected the output of "
            "benchmarks.bundle_files or benchmarks.bundle_formats."
        )
    draw(sizes, pathlib.Path(FLAGS.picture))


if __name__ == "__main__":
    program.run(main)
