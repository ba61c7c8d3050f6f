"""Phases that are run again."""

from collections.abc import Mapping
from typing import Any

from tailor_tf.records import phase as names
from tailor_tf.records.phase import Phase
from tailor_tf.records.same_settings import have_same_images
from tailor_tf.records.store import Records


def kinds_to_forget(
    stage: str, records: Records, settings: Mapping[Phase, Mapping[str, Any]]
) -> tuple[str, ...]:
    """Kinds of the phases whose files are removed when a stage is run again.

    These are the phases of the stage and of all later ones. If the images changed, the depth, which
    was found with the old ones, is found again with the teacher.

    Args:
        stage: one of `phase.STAGES`, or one of `phase.BASELINES`, which has no later stage.
        records: the records of the run.
        settings: settings of the short trainings that find the depth, by phase.

    Raises:
        TailorError: an unknown stage, or a damaged record.
    """
    if stage in names.BASELINES:
        return (stage,)
    found = {phase: records.read_phase(phase) for phase in settings}
    is_same = all(
        have_same_images(record.settings, settings[phase])
        for phase, record in found.items()
        if record
    )
    is_teacher = stage == names.TEACHER.kind
    return names.kinds_from(stage if is_same or not is_teacher else "depth")
