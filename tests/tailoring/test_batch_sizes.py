"""Batch sizes are looked at for all phases at once."""

import dataclasses

import pytest

from tailor_tf import Recipe
from tailor_tf.records.phase import BASELINES, STAGES
from tailor_tf.support.errors import TailorError
from tailor_tf.tailoring.batch_sizes import check_batch_sizes, recipes_of

RECIPE = Recipe(1)


@pytest.mark.parametrize(
    ("method", "until", "has_probes", "names"),
    [
        ("nettailor", "finetune", True, ["teacher", "student", "finetune"]),
        ("nettailor", "finetune", False, ["teacher", "student", "finetune"]),
        ("nettailor", "prune", False, ["teacher", "student"]),
        ("nettailor", "teacher", False, ["teacher"]),
        ("nettailor", "teacher", True, ["teacher", "student"]),
        ("nettailor", "depth", True, ["student"]),
        ("finetune", "finetune", False, ["teacher"]),
        ("finetune", "finetune", True, ["teacher", "student"]),
        ("truncate", "finetune", True, ["teacher"]),
        ("linear", "finetune", True, ["baseline"]),
        ("residual_adapters", "finetune", True, ["baseline"]),
    ],
)
def test_recipes_of_a_run(method, until, has_probes, names):
    assert recipes_of(method, until, has_probes=has_probes, together=False) == names
    together = recipes_of(method, until, has_probes=has_probes, together=True)
    assert [name for name in together if name != "sandwich"] == names
    after_student = method == "nettailor" and until in ("sandwich", "prune", "finetune")
    assert ("sandwich" in together) == after_student


@pytest.mark.parametrize("method", ["nettailor", "finetune", *BASELINES])
def test_every_method_and_stage_has_recipes(method):
    for until in STAGES:
        assert recipes_of(method, until, has_probes=True, together=True)


def test_all_large_batches_are_refused_at_once():
    sizes = {"teacher_batch_size": 64, "student_batch_size": 12, "finetune_batch_size": 13}
    recipes = {flag: dataclasses.replace(RECIPE, batch_size=n) for flag, n in sizes.items()}
    message = (
        "There are 12 training images, too few for one batch of --teacher_batch_size=64, "
        "--finetune_batch_size=13; expected batches of at most 12. Choose smaller ones, such as "
        "--teacher_batch_size=6 --finetune_batch_size=6, or add images."
    )
    with pytest.raises(TailorError) as error:
        check_batch_sizes(recipes, 12)
    assert str(error.value) == message
    check_batch_sizes(recipes, 64)


def test_one_image_is_a_batch_of_one():
    with pytest.raises(TailorError, match=r"such as --batch_size=1, or"):
        check_batch_sizes({"batch_size": dataclasses.replace(RECIPE, batch_size=2)}, 1)
    check_batch_sizes({"batch_size": dataclasses.replace(RECIPE, batch_size=1)}, 1)
