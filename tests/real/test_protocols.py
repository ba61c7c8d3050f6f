"""The decathlon from its archives to its table: TFDS's own builder, real images, killed between."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tailor_tf import backbones, save_universal
from tailor_tf.data.errors import DataError
from tailor_tf.data.sources import load_task
from tailor_tf.data.square import Square
from tailor_tf.data.tfds_source import load_unlabelled_test
from tailor_tf.decathlon import challenge, score
from tailor_tf.network.graph import build_network
from tests.builders import randomise
from tests.programs import ROOT
from tests.real import archives
from tests.real.archives import CLASSES, IMAGES

pytestmark = pytest.mark.slow
QUICK = """--image_size={size}
--crop_padding=0
{resize}
--teacher_epochs=1
--student_epochs=1
--finetune_epochs=1
--training=separate
--teacher_batch_size=6
--student_batch_size=6
--finetune_batch_size=6
--prune_blocks=6
--tolerance=100
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """TFDS's folder with all ten configurations prepared, and the folder of test labels."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.image_classification import visual_domain_decathlon as module

    made = archives.make(tmp_path_factory.mktemp("archives") / "files")
    data_dir = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch, archives.served(made) as address:
        patch.setattr(module, "_URL_PREFIX_VGG", address)
        patch.setattr(module, "_URL_PREFIX_IMAGENET", address)
        for domain in score.DOMAINS:
            name = f"visual_domain_decathlon/{domain}"
            tfds.builder(name, data_dir=str(data_dir)).download_and_prepare()
    return data_dir, made / "labels"


@pytest.mark.parametrize("domain", score.DOMAINS)
def test_images_and_labels_of_a_domain(prepared, domain):
    data_dir, _ = prepared
    name = f"visual_domain_decathlon/{domain}"
    task = load_task(f"tfds:{name}", image_size=64, resize=72, data_dir=str(data_dir))
    assert (len(task.train), len(task.validation)) == (IMAGES["train"], IMAGES["val"])
    assert task.test is None, "the labels are withheld"
    assert np.bincount(task.train.labels).tolist() == [IMAGES["train"] // CLASSES] * CLASSES
    assert task.preprocessing.flip == (domain not in ("gtsrb", "omniglot", "svhn"))
    names, images = load_unlabelled_test(name, Square(72), str(data_dir))
    annotations = challenge.read_annotations(challenge.find_annotations(data_dir), domain)
    assert set(names) == set(annotations.image_ids)
    assert images.shape == (IMAGES["test"], 72, 72, 3)


def test_a_damaged_data_set_is_named(prepared):
    data_dir, _ = prepared
    [shard] = data_dir.glob("visual_domain_decathlon/dtd/*/*-train.*")
    whole = shard.read_bytes()
    try:
        shard.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=r"Cannot read split 'train' of .*dtd.* prepare it"):
            load_task("tfds:visual_domain_decathlon/dtd", image_size=64, data_dir=str(data_dir))
    finally:
        shard.write_bytes(whole)


@pytest.fixture(scope="module")
def command(prepared, tmp_path_factory):
    """The program's command line on a tiny universal network, and its working directory."""
    data_dir, labels = prepared
    folder = tmp_path_factory.mktemp("decathlon")
    graph = backbones.create("wide_resnet26", image_size=64, width=0.125)
    model = randomise(build_network(graph, 10), np.random.default_rng(0))
    save_universal(folder / "universal.safetensors", graph, model)
    for domain in score.DOMAINS:
        square = domain in ("gtsrb", "omniglot", "svhn")
        sizes = {"size": 72, "resize": ""} if square else {"size": 64, "resize": "--resize=72"}
        (folder / f"{domain}.txt").write_text(QUICK.format(**sizes))
    flags = [f"--workdir={folder / 'runs'}", f"--data_dir={data_dir}", f"--test_labels={labels}"]
    flags += [f"--universal={folder / 'universal.safetensors'}", f"--flagfiles={folder}"]
    return [sys.executable, "-m", "pipelines.decathlon", "--jobs=2", *flags], folder / "runs"


def records(runs):
    return {path: path.stat().st_mtime_ns for path in runs.glob("*/records/*.json")}


def test_killed_and_started_again_it_ends_with_the_table(prepared, command):
    _, labels = prepared
    command, runs = command
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    options = {"cwd": ROOT, "env": environment, "start_new_session": True}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, **options) as process:
        deadline = time.monotonic() + 600
        while not list(runs.glob("*/records/selection.json")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
    before = records(runs)
    assert len(list(runs.glob("*/records/selection.json"))) < len(score.DOMAINS)
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = {path: time for path, time in records(runs).items() if path in before}
    finished = {path.parents[1] for path in before if path.name == "selection.json"}
    assert finished and all(kept[p] == t for p, t in before.items() if p.parents[1] in finished)
    table = (runs / "standings.md").read_text()
    assert table in done.stdout
    accuracies = {}
    for domain in score.DOMAINS:
        truth = json.loads((labels / f"{domain}_test.json").read_text())["annotations"]
        given = json.loads((runs / domain / "predictions.json").read_text())
        assert len(given) == IMAGES["test"]
        hits = [entry in truth for entry in given]
        accuracies[domain] = 100 * sum(hits) / len(hits)
        assert f"| {domain} " in table
    ours = next(line for line in table.splitlines() if "tailor_tf, test images" in line)
    cells = [cell.strip() for cell in ours.strip("|").split("|")]
    assert cells[1:11] == [f"{accuracy:.2f}" for accuracy in accuracies.values()]
    assert cells[12] == f"{score.score(accuracies):.0f}"
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert again.returncode == 0 and table in again.stdout


def test_a_domain_that_is_none(command):
    done = subprocess.run(
        [*command[0], "--domains=dtd,flowers"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--domains got flowers; expected some of imagenet12" in done.stderr
    assert "Traceback" not in done.stderr
