"""Settings of runs that take seconds, and what such runs leave."""

import json

from tailor_tf import Recipe, Settings

QUICK = Recipe(1, batch_size=64, learning_rate=0.05)
SETTINGS = Settings(
    teacher=QUICK,
    student=QUICK,
    sandwich=QUICK,
    finetune=QUICK,
    training="separate",
    prune_blocks=(2,),
    tolerance=100,
)


def record(workdir, name):
    """The record of this name, JSON values."""
    return json.loads((workdir / "records" / f"{name}.json").read_text())
