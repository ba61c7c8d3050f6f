"""From the name of a task to its images."""

import re
from collections.abc import Sequence
from pathlib import Path

from tailor_tf.data.digits import load_digits
from tailor_tf.data.errors import DataError
from tailor_tf.data.folder import load_folder
from tailor_tf.data.preprocessing import Preprocessing, channel_statistics
from tailor_tf.data.splits import Split, Task, check_fractions, cut_splits
from tailor_tf.data.tfds_source import load_tfds

KNOWN_SPECS = (
    "'digits' (built in), 'folder:PATH' (PATH/train/<class>/<image>, or PATH/<class>/<image>),"
    " 'tfds:NAME' or 'tfds:NAME/CONFIG' (TensorFlow Datasets)"
)

# Mirrored characters and traffic signs are other characters and signs.
_CHARACTER_NAMES = re.compile(
    r"svhn\w*|[ek]?mnist|omniglot|gtsrb|visual_domain_decathlon/(gtsrb|omniglot|svhn)"
)

_Source = tuple[tuple[str, ...], dict[str, Split | None]]


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
    """Loads a task and makes its splits complete.

    A source that has no validation or no test split gives up a part of its training images for
    it, at random inside each class. Images of another size are scaled on the shorter side and cut
    at the centre.

    Args:
        spec: `digits`, `folder:PATH`, `tfds:NAME` or `tfds:NAME/CONFIG`.
        image_size: side of the network's square input in pixels.
        data_dir: where TensorFlow Datasets keeps its data sets; its own default where None.
        validation_fraction: part of the source's training images that becomes the validation
            split if there is none.
        test_fraction: likewise for the test split; 0 leaves the task without one.
        seed: chooses the images of the splits that are cut; 0 or more.
        flip: whether training mirrors images; None: yes, except for characters and signs.
        crop_padding: padding in pixels of the random crop in training; None: an eighth of
            `image_size`, or nothing where `resize` leaves room for a crop.
        resize: side in pixels to which images are scaled before a window of `image_size` is cut
            out of them; None: `image_size`.
        mean: mean of red, green and blue in images scaled to 0..1; None: that of the training
            images.
        std: their standard deviation; None: likewise.

    Returns:
        The task.

    Raises:
        DataError: if the name, the data or an argument cannot be used; the message says what was
            received, what was expected and what to do.
    """
    _check_arguments(image_size, resize, seed)
    kind, _, rest = spec.partition(":")
    side = resize or image_size
    classes, found = _load_source(spec, kind, rest, side, data_dir)
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
        flip=_flips_by_default(kind, rest) if flip is None else flip,
        crop_padding=crop_padding,
        resize=side,
    )
    return Task(
        name=_task_name(kind, rest),
        classes=classes,
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        preprocessing=preprocessing,
    )


def _check_arguments(image_size: int, resize: int | None, seed: int) -> None:
    if image_size < 1:
        raise DataError(f"image_size is {image_size}; expected 1 or more pixels.")
    if resize is not None and resize < image_size:
        raise DataError(f"resize is {resize}; expected at least the image_size, {image_size}.")
    if seed < 0:
        raise DataError(f"seed is {seed}; expected 0 or more.")


def _load_source(spec: str, kind: str, rest: str, image_size: int, data_dir: str | None) -> _Source:
    if spec == "digits":
        return load_digits(image_size)
    if kind == "folder" and rest:
        return load_folder(rest, image_size)
    if kind == "tfds" and rest:
        return load_tfds(rest, image_size, data_dir)
    raise DataError(f"Unknown task {spec!r}; expected one of {KNOWN_SPECS}.")


def _complete(
    classes: tuple[str, ...],
    found: dict[str, Split | None],
    fractions: dict[str, float],
    seed: int,
) -> dict[str, Split | None]:
    """Adds the splits that the source does not have; one that is None stays None."""
    missing = {name: fraction for name, fraction in fractions.items() if name not in found}
    check_fractions(missing)
    to_cut = {name: fraction for name, fraction in missing.items() if fraction}
    return found | cut_splits(found["train"], to_cut, classes=classes, seed=seed)


def _flips_by_default(kind: str, rest: str) -> bool:
    return kind != "digits" and not (kind == "tfds" and _is_about_characters(rest))


def _is_about_characters(name: str) -> bool:
    whole, collection = name.partition(":")[0], name.partition("/")[0].partition(":")[0]
    return any(_CHARACTER_NAMES.fullmatch(part) for part in (whole, collection))


def _task_name(kind: str, rest: str) -> str:
    if kind == "folder":
        return Path(rest).expanduser().resolve().name
    return re.sub(r"\W+", "_", rest) if rest else kind
