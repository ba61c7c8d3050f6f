"""Options and fixtures of all tests."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # tolerances below 1e-4 hold without TF32

import keras
import numpy as np
import pytest

from tailor_tf import backbones
from tailor_tf.backbones.backbone import Backbone
from tests import builders


def pytest_addoption(parser):
    parser.addoption(
        "--rewrite-snapshots",
        action="store_true",
        help="write tests/snapshots anew from the code as it is, instead of comparing with them",
    )


# Files whose tests take longest, the longest first.
LONGEST = (
    "pipelines/test_pipelines.py",
    "tailoring/test_run_levels.py",
    "method/test_reference.py",
    "export/test_bundle.py",
    "export/test_exporter.py",
    "export/test_depthwise.py",
    "method/test_compaction.py",
    "training/test_strategies.py",
    "export/saved_model/test_shared.py",
    "bundle/test_loaded.py",
    "tailoring/test_run.py",
    "export/test_photographs.py",
    "training/test_precision.py",
    "export/test_own_weights.py",
    "pipelines/test_signals.py",
    "export/test_artifacts.py",
)


def pytest_configure(config):
    """Processes beside each other take files in the order of the collection.

    By itself pytest-xdist begins with the files of most tests, which are the quickest ones.
    """
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """The longest files come first, so that no process is left with one at the end."""
    ranks = {f"tests/{name}": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))


def pytest_collection_finish():
    """Keeps what was imported out of all later searches for garbage; TFLite makes one a file."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rewrite_snapshots(request):
    return request.config.getoption("--rewrite-snapshots")


@pytest.fixture(autouse=True, scope="module")
def _seed_of_module():
    """The networks that a module's tests share are the same whichever tests ran before."""
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def tiny():
    """Universal network of 12 blocks with 8 to 32 channels on 16-pixel images; read-only."""
    graph = backbones.create("wide_resnet26", image_size=16, width=0.125)
    return builders.universal(graph, np.random.default_rng(1))


@pytest.fixture(scope="module")
def small():
    """Universal network of `builders.small_graph`; read-only."""
    return builders.universal(builders.small_graph(), np.random.default_rng(2))


@pytest.fixture(scope="module")
def known_small():
    """`small` is found by its name while a module's tests run, as networks of packs are."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(backbones.BACKBONES, "small", Backbone(builders.small_graph))
        yield
