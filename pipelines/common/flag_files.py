"""Flag files: the flags of a run in its working directory, which later programs read."""

from absl import flags

from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError
from tailor_tf.support.files import write_text

FLAGS = flags.FLAGS
_OF_ONE_START = ("method", "redo", "until")  # flags of a single start, not of the run
_OWN = ("pipelines", "__main__")  # modules whose flags belong to a run


def write(workdir: Workdir) -> None:
    """Writes the flags of the running program to the flag file of a working directory."""
    modules = FLAGS.flags_by_module_dict().items()
    own = [flag for module, found in modules if _is_own(module) for flag in found]
    lines = {
        flag.serialize()
        for flag in own
        if flag.value is not None and flag.name not in _OF_ONE_START
    }
    write_text(workdir.flags, "".join(f"{line}\n" for line in sorted(lines)))


def _is_own(module: str) -> bool:
    package = module.partition(".")[0]
    return package in _OWN or module == FLAGS.find_module_defining_flag("workdir")


def read(workdir: Workdir) -> None:
    """Sets flags that are not given to their values in the flag file of a run.

    Raises:
        TailorError: the working directory has no flag file.
    """
    if not workdir.flags.exists():
        raise TailorError(
            f"{workdir.flags} does not exist; expected a working directory of pipelines.tailor. "
            "Otherwise name the images and the universal network by flags."
        )
    lines = workdir.flags.read_text(encoding="utf-8").splitlines()
    names = {line: line.lstrip("-").partition("=")[0] for line in lines}

    def is_open(name: str) -> bool:
        flag = next((f for f in (name, name.removeprefix("no")) if f in FLAGS), None)
        return flag is not None and not FLAGS[flag].present

    FLAGS(["flags.txt", *(line for line, name in names.items() if is_open(name))])
