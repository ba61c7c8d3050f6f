"""Development data that lies beside a checkout: tests that need it skip where it is missing."""

import functools
import os
import pathlib
import tempfile
import zipfile

import pytest

ROOT = pathlib.Path(
    os.environ.get("TAILOR_TF_SHARED", pathlib.Path(__file__).parents[2] / "shared")
)


def shared_file(relative: str) -> pathlib.Path:
    """The path of a development file; skips the test where it is missing."""
    path = ROOT / relative
    if not path.exists():
        pytest.skip(f"needs the development file {relative}; set TAILOR_TF_SHARED to its folder")
    return path


@functools.cache
def image_set(task: str, *splits: str) -> pathlib.Path:
    """The folder `<task>` with the splits named, unzipped into a temporary folder."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tailor_tf_"))
    for split in splits:
        with zipfile.ZipFile(shared_file(f"data/{task}_{split}.zip")) as archive:
            archive.extractall(folder)
    return folder / task
