"""Protocols of several domains over one universal network: tasks, predictions, standings."""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tailor_tf.backbones.universal import Universal
from tailor_tf.data import Split, evaluation_batches
from tailor_tf.data.tfds_source import load_unlabelled_test
from tailor_tf.decathlon import challenge, score, standings
from tailor_tf.method.task_pack import load_task_pack
from tailor_tf.network import weights
from tailor_tf.records import records
from tailor_tf.report import outcome
from tailor_tf.support.errors import TailorError
from tailor_tf.support.files import write_text
from tailor_tf.training import loop

COLLECTION = "visual_domain_decathlon"
RESULTS = "predictions.json"
_BATCH = 256

# Tasks by domain; those in folders lie under one that the person names.
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
        workdir: the run's working directory; the file lands in it.
        domain: one of `score.DOMAINS`.
        annotations: its annotations.
        universal: the universal network for an image size.
        data_dir: where TensorFlow Datasets keeps its data.

    Raises:
        challenge.ChallengeError: the test images are not those of the annotations.
        TailorError: a task pack or data set that cannot be used.
    """
    workdir = pathlib.Path(workdir)
    pack = workdir / "task_pack.safetensors"
    size = weights.read_metadata(pack)["preprocessing"]["image_size"]
    tailored = load_task_pack(pack, universal(size))
    preprocessing = tailored.preprocessing
    names, images = load_unlabelled_test(f"{COLLECTION}/{domain}", preprocessing.resize, data_dir)
    unknown = Split("test", np.zeros(len(names), np.int32), images)
    batches = evaluation_batches(unknown, preprocessing, batch_size=_BATCH)
    logits, _ = loop.predict(tailored.student, batches)
    challenge.write_results(workdir / RESULTS, annotations, names, logits.argmax(-1))


def is_finished(workdir: str | os.PathLike, universal: Universal) -> bool:
    """Whether a domain's run is finished.

    Raises:
        TailorError: it was made over another universal network.
    """
    found = records.Records(workdir)
    if found.read("selection") is None:
        return False
    made_over = found.read("teacher")["settings"]["universal"]
    if made_over != universal.fingerprint:
        raise TailorError(
            f"{workdir} was made over the universal network with fingerprint {made_over[:16]}; "
            f"received one with {universal.fingerprint[:16]}. Use another working directory."
        )
    return True


def _is_predicted(workdir: pathlib.Path) -> bool:
    """Whether there are predictions of the task pack that is there now."""
    results, pack = workdir / RESULTS, workdir / "task_pack.safetensors"
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
        workdir: holds the domains' working directories.
        domains: those whose run is finished.
        protocol: one of `PROTOCOLS`.
        universal: the universal network for an image size.
        data_dir: where TensorFlow Datasets keeps its data.
        annotations: folder of annotations of the decathlon's kit; looked for in `data_dir` if
            `None`.
        test_labels: folder of `<domain>_test.json`, COCO-style, to score the predictions with;
            domains without such a file are left without a test accuracy.

    Returns:
        The tables of `standings`, Markdown.

    Raises:
        TailorError: what `predict` and `challenge` raise.
    """
    workdir = pathlib.Path(workdir)
    if protocol == "decathlon":
        left = [domain for domain in domains if not _is_predicted(workdir / domain)]
        kit = annotations or (left and challenge.find_annotations(data_dir))
        for domain in left:
            known = challenge.read_annotations(kit, domain)
            predict(workdir / domain, domain, known, universal, data_dir)
    found = {domain: outcome.methods(workdir / domain) for domain in domains}
    tests = {
        domain: 100 * methods["nettailor"]["accuracy"]["test"]
        for domain, methods in found.items()
        if "test" in methods["nettailor"]["accuracy"]
    }
    labels = {d: pathlib.Path(test_labels or "") / f"{d}_test.json" for d in domains}
    tests |= {
        domain: challenge.accuracy(workdir / domain / RESULTS, file)
        for domain, file in labels.items()
        if test_labels and file.exists()
    }
    text = standings.domain_table(found, tests)
    if protocol == "decathlon":
        rows = [*score.PUBLISHED, standings.our_row(found, tests)]
        text += "\n" + standings.decathlon_table(rows)
    write_text(workdir / "standings.md", text)
    return text
