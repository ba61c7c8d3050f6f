"""Several runs, each a program with a working directory; other machines may run some of them."""

import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from pipelines.common.program import IN_USE_STATUS
from tailor_tf.records.workdir import Workdir
from tailor_tf.support import locks


def run_missing(
    runs: Mapping[str, Workdir],
    command: Callable[[str], list[str]],
    *,
    is_finished: Callable[[str], bool],
    jobs: int,
) -> tuple[list[str], list[str]]:
    """Runs all runs that are not finished yet; runs of another program are left to it.

    Args:
        runs: working directories by the runs' names.
        command: from a run's name to the command of its program.
        is_finished: from a run's name to whether it is finished, by this program or another one.
        jobs: number of runs at the same time; if there are several, each writes its output to a
            file in its working directory.

    Returns:
        Names of the runs that are finished now, and names of the runs that failed.
    """

    def start(name: str) -> int:
        if jobs == 1:
            return subprocess.run(command(name), check=False).returncode
        return _run_into_file(name, command(name), runs[name])

    left = [name for name in runs if not is_finished(name)]
    with ThreadPoolExecutor(jobs) as pool:
        statuses = dict(zip(left, pool.map(start, left), strict=True))
    done = [name for name in runs if is_finished(name)]
    failed = []
    for name in (name for name in left if name not in done):
        if statuses[name] == IN_USE_STATUS:
            print(f"{name}: {locks.holder(runs[name].path)} is working on it.")
        else:
            failed.append(name)
    return done, failed


def _run_into_file(name: str, command: list[str], workdir: Workdir) -> int:
    workdir.path.mkdir(parents=True, exist_ok=True)
    with open(workdir.output, "a", encoding="utf-8") as output:
        print(f"{name}: started, see {output.name}", flush=True)
        return subprocess.run(command, check=False, stdout=output, stderr=output).returncode
