"""What the import linter cannot say: how Keras is imported, and where TensorFlow may be."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("tailor_tf", "export", "pipelines", "benchmarks")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def mentions_tf_keras(source):
    """Whether `tf.keras` or `tensorflow.keras` is used or imported."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute():
                names = [ast.unparse(node)]
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            case _:
                continue
        if any(f"{name}.".startswith(("tf.keras.", "tensorflow.keras.")) for name in names):
            return True
    return False


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_module_uses_keras_and_not_tf_keras(file):
    assert not mentions_tf_keras(file.read_text(encoding="utf-8")), "use `import keras`"


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
def test_the_check_itself(source, expected):
    assert mentions_tf_keras(source) == expected


@pytest.mark.parametrize("name", ["network/layers.py", "method/distillation.py"])
def test_tensorflow_is_imported_only_where_a_function_needs_it(name):
    """These two modules are exempt from the contract of the linter."""
    tree = ast.parse((ROOT / "tailor_tf" / name).read_text(encoding="utf-8"))
    outside = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [node for node in outside if "tensorflow" in ast.unparse(node)]
