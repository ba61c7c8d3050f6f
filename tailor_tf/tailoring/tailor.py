"""A whole run in one call."""

import os

from tailor_tf.backbones.universal import Universal
from tailor_tf.data.task import Task
from tailor_tf.tailoring.meter import Meter
from tailor_tf.tailoring.phase_trainer import Callbacks, no_callbacks
from tailor_tf.tailoring.run import Result, Run
from tailor_tf.tailoring.settings import Settings
from tailor_tf.training.options import TrainingOptions


def tailor(
    universal: Universal,
    task: Task,
    workdir: str | os.PathLike,
    settings: Settings | None = None,
    *,
    callbacks: Callbacks = no_callbacks,
    meter: Meter | None = None,
    options: TrainingOptions | None = None,
) -> Result:
    """Tailors a universal network to a task: runs all phases that are not finished in `workdir`.

    Arguments and errors are the same as for `Run` and `Run.result`.
    """
    run = Run(universal, task, workdir, settings, callbacks=callbacks, meter=meter, options=options)
    return run.result()
