"""Check of the batch sizes of all phases at once, before any of them is trained."""

from collections.abc import Mapping

from tailor_tf.records import phase as names
from tailor_tf.support.errors import TailorError
from tailor_tf.training.recipe import Recipe


def recipes_of(method: str, until: str, *, has_probes: bool, together: bool) -> list[str]:
    """Names of the recipes that a run uses, as fields of its settings.

    Args:
        method: "nettailor", or a method to compare it with.
        until: the last stage of tailoring to run, one of `phase.STAGES`.
        has_probes: whether short trainings of students find the depth.
        together: whether all levels are trained together.
    """
    if method in (names.LINEAR, names.RESIDUAL_ADAPTERS):
        return ["baseline"]
    if method == names.TRUNCATE:
        return ["teacher"]
    last = names.stage_index(until if method == "nettailor" else names.TEACHER.kind)
    stages = list(names.STAGES)[: last + 1]
    used = {
        "teacher": "teacher" in stages,
        "student": has_probes or "student" in stages,
        "sandwich": together and "sandwich" in stages,
        "finetune": "finetune" in stages,
    }
    return [name for name, is_used in used.items() if is_used]


def check_batch_sizes(recipes: Mapping[str, Recipe], images: int) -> None:
    """Refuses batches that are larger than the training images.

    Args:
        recipes: the recipes that will be used, each by the flag of its batch size.
        images: number of training images.

    Raises:
        TailorError: batch sizes are too large; the message names all of their flags.
    """
    sizes = {flag: recipe.batch_size for flag, recipe in recipes.items()}
    large = {flag: size for flag, size in sizes.items() if size > images}
    if large:
        received = ", ".join(f"--{flag}={size}" for flag, size in large.items())
        smaller = " ".join(f"--{flag}={max(images // 2, 1)}" for flag in large)
        raise TailorError(
            f"There are {images} training images, too few for one batch of {received}; expected "
            f"batches of at most {images}. Choose smaller ones, such as {smaller}, or add images."
        )
