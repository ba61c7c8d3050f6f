"""Flag files: the flags of a run in its working directory, which later programs read."""

from collections.abc import Collection

from absl import flags

from tailor_tf.records.workdir import Workdir
from tailor_tf.support.errors import TailorError
from tailor_tf.support.files import replacing

FLAGS = flags.FLAGS
_OF_ONE_START = ("method", "redo", "until")  # flags of a single start, not of the run
_BYTES = {"encoding": "utf-8", "errors": "surrogateescape"}  # names of files may be any bytes
_OWN = (f"{__package__}.", "__main__")  # begins of modules whose flags belong to a run


def write(workdir: Workdir) -> None:
    """Writes the flags of the running program to the flag file of a working directory."""
    modules = FLAGS.flags_by_module_dict().items()
    own = [flag for module, found in modules if _is_own(module) for flag in found]
    lines = {
        flag.serialize()
        for flag in own
        if flag.value is not None and flag.name not in _OF_ONE_START
    }
    with replacing(workdir.flags) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in sorted(lines)), **_BYTES)


def _is_own(module: str) -> bool:
    return module.startswith(_OWN) or module == FLAGS.find_module_defining_flag("workdir")


def read(workdir: Workdir, names: Collection[str]) -> None:
    """Sets flags that are not given to their values in the flag file of a run.

    Args:
        workdir: the run's working directory, perhaps of somebody else.
        names: the flags to take over. All others are left alone, as they might name a folder to
            write to, or another flag file.

    Raises:
        TailorError: the working directory has no flag file, or a value is out of its range.
    """
    if not workdir.flags.exists():
        raise TailorError(
            f"{workdir.flags} does not exist; expected a working directory of pipelines.tailor. "
            "Otherwise name the images and the universal network by flags."
        )

    def is_open(line: str) -> bool:
        name = line.lstrip("-").partition("=")[0]
        found = next((n for n in (name, name.removeprefix("no")) if n in names and n in FLAGS), "")
        return bool(found) and not FLAGS[found].present

    lines = workdir.flags.read_text(**_BYTES).split("\n")
    try:
        FLAGS(["flags.txt", *filter(is_open, lines)])
    except flags.Error as error:
        raise TailorError(f"{workdir.flags} cannot be used: {error}.") from error
