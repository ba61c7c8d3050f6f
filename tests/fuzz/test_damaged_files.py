"""Damaged and hostile files: refused in one message, or as good as the undamaged ones.

Every input is made by a fixed seed. A reader may raise what programs print as one line, and nothing
else; it ends in ten seconds, needs no process above 2 GB, and changes no file outside of the folder
that it was given.
"""

import dataclasses
import json
import random

import numpy as np
import pytest

from export import exportable, formats, metadata
from export.onnx import single as onnx
from export.tflite import single as tflite
from export.tflite.kernels import folded
from tailor_tf import load_universal, save_universal
from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.store import BundleStore
from tailor_tf.method.folding import fold
from tailor_tf.method.task_pack import load_task_pack
from tailor_tf.network import weights
from tailor_tf.records.phase import TEACHER
from tailor_tf.records.records import PhaseRecord, RunRecord, SelectionRecord
from tailor_tf.records.store import Records
from tailor_tf.records.workdir import Workdir
from tailor_tf.report import tables
from tailor_tf.report.outcome import load as load_outcome
from tailor_tf.support.errors import TailorError
from tailor_tf.training.checkpoints import Checkpoints
from tests.builders import inverted_residuals, randomise
from tests.bundle import bundle_packs
from tests.fuzz import mutation
from tests.fuzz.watching import watched
from tests.report import builders as report_builders

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("known_small")]

EXPECTED_ERRORS = (TailorError, OSError)  # which `pipelines.common.program` prints as one line


@pytest.fixture(scope="module")
def packs(small, tmp_path_factory):
    return bundle_packs.write(tmp_path_factory.mktemp("packs"), small)


def same(received, expected):
    """Whether two answers are equal: nested arrays and plain values."""
    if isinstance(expected, dict):
        keys_same = received.keys() == expected.keys()
        return keys_same and all(same(received[key], expected[key]) for key in expected)
    if isinstance(expected, np.ndarray):
        return np.array_equal(received, expected)
    return received == expected


def check_all(path, read, inputs, folder):
    """Reads a file with each of several contents; returns the number of those accepted.

    Args:
        path: the file; its content so far is the undamaged one.
        read: reads it; returns an answer.
        inputs: contents, each with whether it must be answered as the undamaged one if at all.
        folder: the folder that alone may be changed.
    """
    whole, accepted = path.read_bytes(), 0
    expected = read()
    for content, is_damage in inputs:
        path.write_bytes(content)
        try:
            with watched(folder):
                received = read()
        except EXPECTED_ERRORS as error:
            assert str(error)
            continue
        accepted += 1
        assert not is_damage or same(received, expected)
    path.write_bytes(whole)
    assert same(read(), expected)
    return accepted


def damages(path, count):
    """Contents of a file with damaged bytes."""
    content = path.read_bytes()
    made = [mutation.of_bytes(random.Random(seed), content) for seed in range(count)]
    # Without the word, a file is as those of earlier versions, which had no checksum.
    return [(damaged, b"checksum" in damaged) for damaged in made]


def forgeries(path, count, change=lambda metadata: None):
    """Contents of a weights file whose metadata a stranger wrote, with a checksum or without."""
    tensors, metadata = weights.read(path)
    del metadata[weights.CHECKSUM]
    made = []
    for seed in range(count):
        rng = random.Random(seed)
        try:
            forged = mutation.of_json(rng, metadata)
            forged = weights.sealed(tensors, forged) if rng.random() < 0.5 else forged
            weights.write(path.with_name("forged"), tensors, forged)
        except (OSError, UnicodeEncodeError):  # text that no file can hold
            continue
        made.append((path.with_name("forged").read_bytes(), False))
    return made


def json_forgeries(path, count):
    """Contents of a JSON file with other values."""
    value = json.loads(path.read_bytes())
    value.pop("checksum", None)
    rng = random.Random(0)
    return [(json.dumps(mutation.of_json(rng, value)).encode(), False) for _ in range(count)]


def test_task_packs(packs, small, tmp_path):
    path = tmp_path / "pack"
    path.write_bytes(packs["birds"].read_bytes())
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")

    def read():
        task = load_task_pack(path, small)
        logits = np.array(task.student.model(images, training=False)["logits"])
        return {"info": dataclasses.replace(task.info, pack=None), "logits": logits}

    inputs = damages(path, 300) + forgeries(path, 250)
    assert check_all(path, read, inputs, tmp_path) < 300


def test_universal_files(small, tmp_path):
    path = tmp_path / "universal.safetensors"
    save_universal(path, small.graph, small.model)

    def read():
        universal = load_universal(path)
        return {**weights.arrays(universal.model), "config": dict(universal.graph.config)}

    inputs = damages(path, 200) + forgeries(path, 100)
    check_all(path, read, inputs, tmp_path)


def test_universal_files_with_a_definition(rng, tmp_path):
    model = randomise(inverted_residuals(), rng)
    path, universal = tmp_path / "universal.safetensors", load_universal(model, normalisation="tf")
    save_universal(path, universal.graph, universal.model)

    def read():
        return {"fingerprint": load_universal(path).fingerprint}

    inputs = damages(path, 30) + forgeries(path, 40)
    check_all(path, read, inputs, tmp_path)


def test_checkpoints(tmp_path):
    path = tmp_path / "teacher.safetensors"
    rng = np.random.default_rng(0)
    tensors = {"a": rng.normal(size=(3, 4)).astype("f4"), "state": np.arange(9, dtype="u8")}
    Checkpoints(path).save(
        tensors, {"settings": {"seed": 0}, "history": [{"loss": 1.0}]}, best=True
    )

    def read():
        tensors, metadata = Checkpoints(path).read()
        assert Checkpoints(path).read_metadata() == metadata
        return {**tensors, "metadata": {k: v for k, v in metadata.items() if k != "checksum"}}

    inputs = damages(path, 250) + forgeries(path, 100)
    check_all(path, read, inputs, tmp_path)


def test_manifests(packs, small, tmp_path):
    store = BundleStore.create(
        tmp_path / "bundle", small, [read_pack(packs[name], small) for name in ("birds", "signs")]
    )
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    answers = {
        packs[name].read_bytes(): np.array(
            load_task_pack(packs[name], small).student.model(images)["logits"]
        )
        for name in ("birds", "signs")
    }
    manifest = store.path / "bundle.json"

    def read():
        """Tasks by name. Names may be others in a forgery; packs are those that were there."""
        read_manifest = store.verify()
        for entry in read_manifest.tasks.values():
            content = (store.path / "packs" / f"{entry.sha256}.safetensors").read_bytes()
            assert content in answers
        store.describe()
        return {name: entry.sha256 for name, entry in read_manifest.tasks.items()}

    inputs = damages(manifest, 250) + json_forgeries(manifest, 150)
    check_all(manifest, read, inputs, tmp_path)


@pytest.mark.parametrize("kind", [RunRecord, PhaseRecord, SelectionRecord])
def test_records(kind, tmp_path):
    report_builders.finished().write(tmp_path)
    records = Records(Workdir(tmp_path))
    of_phase = kind is PhaseRecord
    path = records.phase_path(TEACHER) if of_phase else records.path(kind)

    def read():
        return records.read_phase(TEACHER) if of_phase else records.read(kind)

    def report():
        outcome = load_outcome(Workdir(tmp_path))
        return {"tables": tables.table(outcome) + tables.classes(outcome)}

    check_all(path, read, damages(path, 150), tmp_path)
    check_all(path, report, json_forgeries(path, 100), tmp_path)


@pytest.fixture(scope="module")
def exported(packs, small):
    return exportable.from_task_pack(packs["birds"], small)


def check_artifact(path, tmp_path, forged):
    def read():
        runtime = formats.load(path)
        side = runtime.info.preprocessing.resize
        images = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
        return {"info": runtime.info, "logits": runtime.logits(images)}

    check_all(path, read, damages(path, 250) + [(content, False) for content in forged], tmp_path)


def test_tflite_files(exported, tmp_path):
    network = folded(exported.network, "int8")
    samples = np.random.default_rng(0).normal(size=(4, 1, 8, 8, 3)).astype("float32")
    content = tflite.convert(network, "int8", representative=samples)
    path, forged = tmp_path / "int8.tflite", []
    for seed in range(200):  # other networks, with the right checksum
        tflite.save(path, mutation.of_bytes(random.Random(seed), content), exported.info)
        forged.append(path.read_bytes())
    path.unlink()
    tflite.save(path, content, exported.info)
    check_artifact(path, tmp_path, forged)


def test_onnx_files(exported, tmp_path):
    path = tmp_path / "float32.onnx"
    path.write_bytes(onnx.convert(fold(exported.network), exported.info))
    check_artifact(path, tmp_path, list(forged_onnx(path, exported.info)))


def forged_onnx(path, info):
    """Other networks, described without a checksum as by earlier versions of this project."""
    import google.protobuf.message
    import onnx as library

    content = path.read_bytes()
    for seed in range(400):
        try:
            model = library.load_from_string(mutation.of_bytes(random.Random(seed), content))
            del model.metadata_props[:]
            model.metadata_props.add(key=onnx.METADATA_KEY, value=metadata.to_json(info))
            yield model.SerializeToString()
        except (google.protobuf.message.DecodeError, UnicodeError):
            continue
