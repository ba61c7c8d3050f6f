"""Loading a task by its name, and the registry of sources of images."""

from collections.abc import Mapping, Sequence

from tailor_tf.data import digits, folder, tfds_source
from tailor_tf.data.errors import DataError
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.source import Source
from tailor_tf.data.splits import Split, check_fractions, cut_splits
from tailor_tf.data.statistics import channel_statistics
from tailor_tf.data.task import Task
from tailor_tf.data.task_info import TaskInfo

SOURCES: Mapping[str, Source] = {
    "digits": digits.SOURCE,
    "folder": folder.SOURCE,
    "tfds": tfds_source.SOURCE,
}


def load_task(
    spec: str,
    *,
    image_size: int,
    data_dir: str | None = None,
    validation_fraction: float = 0.15,
    test_fraction: float = 0.2,
    seed: int = 0,
    flip: bool | None = None,
    crop_padding: int | None = None,
    resize: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Task:
    """Loads a task; validation and test splits that are missing are cut out of the training images.

    A missing split is cut at random inside each class. Images of another size are scaled by their
    shorter side, and the centre is cut out.

    Args:
        spec: `digits`, `folder:PATH`, `tfds:NAME` or `tfds:NAME/CONFIG`.
        image_size: side of the network's square input in pixels.
        data_dir: folder of TensorFlow Datasets' data sets; its own default if None.
        validation_fraction: fraction of the source's training images that becomes the validation
            split if the source has none.
        test_fraction: likewise for the test split; 0 for a task without test split.
        seed: chooses the images of the splits that are cut; 0 or more.
        flip: whether training mirrors images left to right; None: yes, except for characters and
            signs.
        crop_padding: padding of the random crop in training, pixels; None: an eighth of
            `image_size`, or 0 if `resize` is larger than `image_size`.
        resize: side in pixels to which images are scaled before a window of `image_size` is cut
            out of them; None: `image_size`.
        mean: mean of red, green and blue in images scaled to 0..1; None: measured on the training
            images.
        std: standard deviation of red, green and blue, likewise.

    Returns:
        The task.

    Raises:
        DataError: if the name, the data or an argument cannot be used; the message says what was
            received, what was expected and what to do.
    """
    _check_arguments(image_size, resize, seed)
    source, rest = _find_source(spec)
    side = resize or image_size
    classes, found = source.load(rest, side, data_dir)
    fractions = {"validation": validation_fraction, "test": test_fraction}
    splits = _complete(classes, found, fractions, seed)
    if mean is None or std is None:
        found_mean, found_std = channel_statistics(splits["train"].images)
        mean, std = mean or found_mean.tolist(), std or found_std.tolist()
    if crop_padding is None:
        crop_padding = 0 if side > image_size else image_size // 8
    preprocessing = Preprocessing(
        image_size=image_size,
        mean=tuple(mean),
        std=tuple(std),
        flip=source.mirrors(rest) if flip is None else flip,
        crop_padding=crop_padding,
        resize=side,
    )
    info = TaskInfo(source.name(rest), classes, preprocessing)
    return Task(info, splits["train"], splits["validation"], splits.get("test"))


def _check_arguments(image_size: int, resize: int | None, seed: int) -> None:
    if image_size < 1:
        raise DataError(f"image_size is {image_size}; expected 1 or more pixels.")
    if resize is not None and resize < image_size:
        raise DataError(f"resize is {resize}; expected at least the image_size, {image_size}.")
    if seed < 0:
        raise DataError(f"seed is {seed}; expected 0 or more.")


def _find_source(spec: str) -> tuple[Source, str]:
    """The source of a task's name, and the text after the colon."""
    kind, colon, rest = spec.partition(":")
    source = SOURCES.get(kind)
    if source is None or bool(rest) != source.has_rest or bool(colon) != source.has_rest:
        known = ", ".join(source.usage for source in SOURCES.values())
        raise DataError(f"Unknown task {spec!r}; expected one of {known}.")
    return source, rest


def _complete(
    classes: tuple[str, ...],
    found: Mapping[str, Split | None],
    fractions: dict[str, float],
    seed: int,
) -> dict[str, Split | None]:
    """Adds the splits that the source does not have; a split that is None stays None."""
    missing = {name: fraction for name, fraction in fractions.items() if name not in found}
    check_fractions(missing)
    to_cut = {name: fraction for name, fraction in missing.items() if fraction}
    return {**found, **cut_splits(found["train"], to_cut, classes=classes, seed=seed)}
