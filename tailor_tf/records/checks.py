"""Kinds of the values in records that other people may have written.

Reports calculate with them; a text or a list among them would end a report half-way.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from tailor_tf.network.cost import COUNTS
from tailor_tf.records.records import PhaseRecord, RunRecord, SelectionRecord

_LARGE = 1e18  # above every count and duration, and a float all the same


def check(record: Any) -> None:
    """Refuses a record whose values are not of the kinds that its class says.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: a value is of another kind.
    """
    if isinstance(record, PhaseRecord):
        _check_phase(record)
    if isinstance(record, RunRecord):
        _check_run(record)
    if isinstance(record, SelectionRecord) and record.expected_difference is not None:
        _check_numbers([record.expected_difference])


def _check_phase(record: PhaseRecord) -> None:
    _check_texts([record.task_name, *record.classes])
    costs = [value for value in dataclasses.astuple(record.cost) if value is not None]
    _check_numbers([record.seconds, *costs, *record.gates.values()])
    _check_figures(record.accuracy.values())
    if "validation" not in record.accuracy and not record.failed:
        raise ValueError("no accuracy on validation images")
    for entries in record.confusion.values():
        for true, predicted, images in entries:
            _check_whole([true, predicted, images])
            if max(true, predicted) >= len(record.classes):
                raise ValueError(f"a confusion of the classes {true} and {predicted}")
    for positions in record.mistakes.values():
        _check_whole(positions)
    _check_texts([record.failed])
    for epoch in record.history:
        _check_figures([*epoch.figures.values(), *epoch.gates])


def _check_run(record: RunRecord) -> None:
    task, network = record.task, record.universal
    if record.complexity not in COUNTS:
        raise ValueError(f"an unknown complexity {record.complexity!r}")
    _check_texts([task.name, network.name, *task.images, *map(str, record.environment.values())])
    _check_whole([task.num_classes, *task.images.values(), network.num_blocks])
    if not min(task.images["validation"], network.num_blocks, len(network.node_shapes) - 1):
        raise ValueError("no validation images or no blocks")
    _check_whole([network.multiply_adds, network.parameters])
    _check_whole(size for shape in network.node_shapes for size in shape)
    goals = [] if record.tolerance is None else [record.tolerance]
    _check_numbers([*goals, *record.budget.values(), *record.path_complexities.values()])
    if record.confidence != 0 and not 0.5 <= record.confidence < 1:
        raise ValueError(f"a confidence of {record.confidence}")


def _check_texts(values: Iterable[Any]) -> None:
    if not all(isinstance(value, str) for value in values):
        raise TypeError("a name is no text")


def _check_figures(values: Iterable[Any]) -> None:
    """Refuses what is no number; a figure of a training need not be finite."""
    if not all(isinstance(value, int | float) for value in values):
        raise TypeError("a figure is no number")


def _check_numbers(values: Iterable[Any]) -> None:
    for value in values:
        if type(value) not in (int, float) or not math.fabs(value) < _LARGE:
            raise TypeError(f"{str(value)[:20]!r} is no number")


def _check_whole(values: Iterable[Any]) -> None:
    for value in values:
        if type(value) is not int or not 0 <= value < _LARGE:
            raise TypeError(f"{str(value)[:20]!r} is no count")
