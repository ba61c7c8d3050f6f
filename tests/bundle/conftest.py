"""Task packs over a small universal network, and a bundle of two of them."""

import shutil

import pytest

from tailor_tf.bundle.packs import read_pack
from tailor_tf.bundle.store import BundleStore
from tests.bundle import bundle_packs


@pytest.fixture(scope="module", autouse=True)
def _known(known_small):
    """Every test of bundles reads packs."""


@pytest.fixture(scope="module")
def paths(small, tmp_path_factory):
    return bundle_packs.write(tmp_path_factory.mktemp("packs"), small)


@pytest.fixture(scope="module")
def packs(small, paths):
    return {name: read_pack(path, small) for name, path in paths.items()}


@pytest.fixture(scope="module")
def two(small, packs, tmp_path_factory):
    """A bundle of vehicles and birds; read-only."""
    path = tmp_path_factory.mktemp("bundles") / "two"
    return BundleStore.create(path, small, [packs["vehicles"], packs["birds"]])


@pytest.fixture
def store(two, tmp_path):
    """The same, to be changed."""
    shutil.copytree(two.path, tmp_path / "bundle")
    return BundleStore(tmp_path / "bundle")
