"""Build of the wheel: its requirements, and `export` and `pipelines` within `tailor_tf`.

Both names are too common for the top level of an environment. In the wheel these packages are
`tailor_tf.export` and `tailor_tf.pipelines`. Their files are those of the repository except for the
names of modules in imports, and for the commands in docstrings, which are those of `tailor-tf`.
"""

import ast
import pathlib
import re
import shutil
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

PACKAGE = "tailor_tf"
MOVED = ("export", "pipelines")  # packages of the repository that are within PACKAGE in the wheel
_COMMANDS = "python -m pipelines.", "tailor-tf "  # in the repository, and of an installed package
_BASE = ""  # the extra of what every installation needs


def requirements(text: str) -> dict[str, list[str]]:
    """The requirements of each extra.

    Args:
        text: the content of `requirements.txt`. A comment line begins a group. `# [export, dev]`
            names the extras that install it; any other comment line begins one that is always
            installed.

    Returns:
        Requirements by extra; by "" those that are always installed.
    """
    found: dict[str, list[str]] = {_BASE: []}
    extras = [_BASE]
    for line in text.splitlines():
        requirement, _, comment = line.partition("#")
        if requirement.strip():
            for extra in extras:
                found.setdefault(extra, []).append(requirement.strip())
        elif comment:
            named = re.match(r" \[([\w, ]+)\]", comment)
            extras = named[1].split(", ") if named else [_BASE]
    return found


def moved(name: str) -> str:
    """A module's name in the wheel."""
    return f"{PACKAGE}.{name}" if name.partition(".")[0] in MOVED else name


def rewritten(source: str) -> str:
    """The source text of a module as it is in the wheel; each line stays where it is.

    Raises:
        ValueError: an import that binds the name of a package that is moved.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            if any(moved(name) != name for name in names):
                raise ValueError(f"expected from PACKAGE import, received {ast.unparse(node)}")
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            place, old = node.lineno - 1, f"from {node.module} "
            lines[place] = lines[place].replace(old, f"from {moved(node.module)} ", 1)
    return "".join(lines).replace(*_COMMANDS)


class Requirements(MetadataHookInterface):
    """Requirements and extras from `requirements.txt`, which names each package once."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = pathlib.Path(self.root, "requirements.txt").read_text(encoding="utf-8")
        extras = requirements(text)
        metadata["dependencies"] = extras.pop(_BASE)
        metadata["optional-dependencies"] = extras


class Wheel(BuildHookInterface):
    """Adds the packages that are moved. An editable installation has them where they are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        if version == "editable":
            return
        for name in MOVED:
            copy = pathlib.Path(self._folder.name, name)
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(pathlib.Path(self.root, name), copy, ignore=unwanted)
            for path in copy.rglob("*.py"):
                path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
            build_data["force_include"][str(copy)] = f"{PACKAGE}/{name}"
        scripts = self.metadata.core.scripts
        scripts.update({name: moved(target) for name, target in scripts.items()})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self._folder.cleanup()
