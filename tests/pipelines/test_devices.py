"""Processes of a cluster: which one writes."""

import os
import types

import pytest

from pipelines.common import devices


def strategy(task_type, task_id, **jobs):
    """A strategy as far as it is looked at."""
    spec = types.SimpleNamespace(jobs=list(jobs))
    resolver = types.SimpleNamespace(
        task_type=task_type, task_id=task_id, cluster_spec=lambda: spec
    )
    return types.SimpleNamespace(cluster_resolver=resolver, num_replicas_in_sync=1)


ALONE = types.SimpleNamespace(cluster_resolver=None, num_replicas_in_sync=1)
WORKERS = {"worker": 2}
WITH_CHIEF = {"chief": 1, "worker": 2}


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (ALONE, True),
        (strategy("worker", 0, **WORKERS), True),
        (strategy("worker", 1, **WORKERS), False),
        (strategy("chief", 0, **WITH_CHIEF), True),
        (strategy("worker", 0, **WITH_CHIEF), False),
        (strategy("worker", 1, **WITH_CHIEF), False),
    ],
)
def test_one_process_of_a_cluster_is_the_chief(member, expected):
    assert devices.is_chief(member) == expected


def test_the_chief_writes_to_the_working_directory_and_others_to_a_copy(tmp_path):
    (tmp_path / "state").write_text("so far")
    with devices.own_workdir(str(tmp_path), strategy("worker", 0, **WORKERS)) as own:
        assert own == str(tmp_path)
    with devices.own_workdir(str(tmp_path), strategy("worker", 1, **WORKERS)) as own:
        assert own != str(tmp_path)
        with open(os.path.join(own, "state"), "a") as file:
            file.write(" and further")
    assert not os.path.exists(own)
    assert (tmp_path / "state").read_text() == "so far"
