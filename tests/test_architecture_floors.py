"""The packages are floors of a house: a module imports from its own floor and those below."""

import ast
import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("tailor_tf", "export", "pipelines", "benchmarks")

TF_KERAS_MODULE = "export.optimize.optimize"  # it knows tf-keras alone


def _modules():
    """File of every module by its dotted name; a package's `__init__` has the package's name."""
    found = {}
    for file in sorted(f for package in PACKAGES for f in (ROOT / package).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = _modules()
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in MODULES.items()}


def imports(nodes, package):
    """Dotted names that import statements among `nodes` ask for, relative ones resolved."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            source = importlib.util.resolve_name(source, package) if node.level else source
            names |= {f"{source}.{alias.name}" for alias in node.names}
    return names


def _package(module):
    is_package = MODULES[module].name == "__init__.py"
    return module if is_package else module.rpartition(".")[0]


def mentions_tf_keras(tree):
    """Whether `tf.keras` or `tensorflow.keras` is used or imported."""
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used = {ast.unparse(node) for node in attributes} & {"tf.keras", "tensorflow.keras"}
    names = imports(ast.walk(tree), "tailor_tf")
    return bool(used) or any(f"{name}.".startswith("tensorflow.keras.") for name in names)


def _imports_package(names, package):
    return any(f"{name}.".startswith(f"{package}.") for name in names)


@pytest.mark.parametrize("module", MODULES)
def test_module_uses_keras_and_not_tf_keras(module):
    assert not mentions_tf_keras(TREES[module]), f"{module} uses tf.keras; use keras"
    names = imports(ast.walk(TREES[module]), _package(module))
    assert module == TF_KERAS_MODULE or not _imports_package(names, "tf_keras")


class TestTheCheckItself:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("import a.b as c, d", {"a.b", "d"}),
            ("from a import b, c", {"a.b", "a.c"}),
            ("from . import b", {"p.q.b"}),
            ("from ..a import b", {"p.a.b"}),
            ("def f():\n    import a", {"a"}),
        ],
    )
    def test_finds_imports(self, source, expected):
        assert imports(ast.walk(ast.parse(source)), "p.q") == expected

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("tf.keras.layers.Dense(3)", True),
            ("from tensorflow import keras", True),
            ("import tensorflow.keras.layers", True),
            ("from tensorflow.keras import layers", True),
            ("import keras\nimport tensorflow as tf\ntf.nn.relu(keras.ops.ones(3))", False),
        ],
    )
    def test_finds_tf_keras(self, source, expected):
        assert mentions_tf_keras(ast.parse(source)) == expected
