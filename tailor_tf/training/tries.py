"""Training that is tried once more, more cautiously, if the loss does not stay finite."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tailor_tf.network import weights
from tailor_tf.training.loop import NonFiniteLossError, Trainer
from tailor_tf.training.recipe import Recipe

History = list[dict[str, Any]]


def fit_in_tries(
    make_trainer: Callable[[Recipe], Trainer],
    fit: Callable[[Trainer], History],
    recipes: Sequence[Recipe],
) -> History:
    """Trains with the first recipe and, where the loss does not stay finite, with the next one.

    Each try begins with the same weights and overwrites the checkpoints of the try before. A try
    that was interrupted goes on. The objective has no state besides its model, if there are several
    recipes.

    Args:
        make_trainer: makes a trainer of the model with a recipe, whose state is kept in a file.
        fit: trains the remaining steps of a trainer; returns its history.
        recipes: the recipes, one for each try.

    Returns:
        The history of the try that came to its end.

    Raises:
        NonFiniteLossError: the loss did not stay finite with the last recipe.
    """
    trainer = make_trainer(recipes[0])
    begun = trainer.checkpoints.read_metadata() or {}
    _, *later = recipes
    if begun.get("recipe") in [recipe.as_dict() for recipe in later]:
        return fit_in_tries(make_trainer, fit, later)
    found = weights.variables(trainer.model) if later else {}
    start = {key: np.array(variable) for key, variable in found.items()}
    trainer.restore()
    try:
        return fit(trainer)
    except NonFiniteLossError as error:
        if not later:
            raise
        print(f"{error.reason}; once more from the beginning, at a third of it.", flush=True)
    trainer.checkpoints.remove()
    weights.assign(trainer.model, start, origin="the first try")
    return fit_in_tries(make_trainer, fit, later)
