"""Protocols: the tasks of a benchmark with several domains, their predictions and standings."""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tailor_tf.backbones.universal import Universal
from tailor_tf.data.batches import evaluation_batches
from tailor_tf.data.splits import Split
from tailor_tf.data.tfds_source import load_unlabelled_test
from tailor_tf.decathlon import challenge, score, standings
from tailor_tf.method.task_pack import load_task_pack, read_header
from tailor_tf.records.phase import TEACHER
from tailor_tf.records.records import SelectionRecord
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import outcome
from tailor_tf.support.errors import TailorError
from tailor_tf.support.files import write_text
from tailor_tf.training import evaluation

COLLECTION = "visual_domain_decathlon"
STANDINGS = "standings.md"  # in the working directory of a protocol
_BATCH = 256

# Tasks by domain; paths after "folder:" are inside the user's folder of images.
PROTOCOLS: Mapping[str, Mapping[str, str]] = {
    "decathlon": {domain: f"tfds:{COLLECTION}/{domain}" for domain in score.DOMAINS},
    # ImageNet-to-Sketch (Mallya et al., ECCV 2018).
    "imagenet_to_sketch": {
        "cub": "tfds:caltech_birds2011",
        "cars": "tfds:cars196",
        "flowers": "tfds:oxford_flowers102",
        "wikiart": "folder:wikiart",
        "sketch": "folder:sketch",
    },
}


def predict(
    workdir: str | os.PathLike,
    domain: str,
    annotations: challenge.Annotations,
    universal: Callable[[int], Universal],
    data_dir: str | None = None,
) -> None:
    """Writes the challenge's result file of a domain whose run is finished.

    Args:
        workdir: the run's working directory; the file is written there.
        domain: one of `score.DOMAINS`.
        annotations: the annotations of the domain.
        universal: from an image size in pixels to the universal network.
        data_dir: folder of TensorFlow Datasets' data sets; its own default if `None`.

    Raises:
        challenge.ChallengeError: the test images are not the same as in the annotations.
        TailorError: the task pack or the data set cannot be used.
    """
    files = Workdir(workdir)
    size = read_header(files.task_pack).info.preprocessing.image_size
    task = load_task_pack(files.task_pack, universal(size))
    preprocessing = task.info.preprocessing
    names, images = load_unlabelled_test(f"{COLLECTION}/{domain}", preprocessing.square, data_dir)
    unknown = Split("test", np.zeros(len(names), np.int32), images)
    batches = evaluation_batches(unknown, preprocessing, batch_size=_BATCH)
    logits, _ = evaluation.predict(task.student.model, batches)
    challenge.write_results(files.predictions, annotations, names, logits.argmax(-1))


def is_finished(workdir: str | os.PathLike, universal: Universal) -> bool:
    """Whether a domain's run is finished.

    Raises:
        TailorError: the run was made over another universal network.
    """
    records = Records(Workdir(workdir))
    if records.read(SelectionRecord) is None:
        return False
    made_over = records.read_phase(TEACHER).fingerprint
    if made_over != universal.fingerprint:
        raise TailorError(
            f"{workdir} was made over the universal network with fingerprint {made_over[:16]}; "
            f"received one with {universal.fingerprint[:16]}. Use another working directory."
        )
    return True


def _is_predicted(workdir: Workdir) -> bool:
    """Whether there are predictions that are newer than the task pack."""
    results, pack = workdir.predictions, workdir.task_pack
    return results.exists() and results.stat().st_mtime_ns >= pack.stat().st_mtime_ns


def conclude(
    workdir: str | os.PathLike,
    domains: Sequence[str],
    *,
    protocol: str,
    universal: Callable[[int], Universal],
    data_dir: str,
    annotations: str | os.PathLike | None = None,
    test_labels: str | os.PathLike | None = None,
) -> str:
    """Writes `predictions.json` of each domain of the decathlon, and `standings.md`.

    Args:
        workdir: folder of the domains' working directories.
        domains: the domains whose run is finished.
        protocol: one of `PROTOCOLS`.
        universal: from an image size in pixels to the universal network.
        data_dir: folder of TensorFlow Datasets' data sets.
        annotations: folder of annotations of the decathlon's development kit; searched for in
            `data_dir` if `None`.
        test_labels: folder of files `<domain>_test.json`, COCO-style, for the test accuracy of the
            predictions; domains without such a file get none.

    Returns:
        The tables of `standings`, Markdown.

    Raises:
        TailorError: any error of `predict` and `challenge`.
    """
    folder = pathlib.Path(workdir)
    runs = {domain: Workdir(folder / domain) for domain in domains}
    if protocol == "decathlon":
        left = [domain for domain in domains if not _is_predicted(runs[domain])]
        kit = annotations or (left and challenge.find_annotations(data_dir))
        for domain in left:
            known = challenge.read_annotations(kit, domain)
            predict(runs[domain].path, domain, known, universal, data_dir)
    found = {domain: outcome.methods(run) for domain, run in runs.items()}
    tests = {
        domain: 100 * methods["nettailor"].accuracy["test"]
        for domain, methods in found.items()
        if "test" in methods["nettailor"].accuracy
    }
    labels = {d: pathlib.Path(test_labels or "") / f"{d}_test.json" for d in domains}
    tests |= {
        domain: challenge.accuracy(runs[domain].predictions, file)
        for domain, file in labels.items()
        if test_labels and file.exists()
    }
    text = standings.domain_table(found, tests)
    if protocol == "decathlon":
        rows = [*score.PUBLISHED, standings.our_row(found, tests)]
        text += "\n" + standings.decathlon_table(rows)
    write_text(folder / STANDINGS, text)
    return text
