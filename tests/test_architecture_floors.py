"""The packages are floors of a house: a module imports from its own floor and those below."""

import ast
import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("tailor_tf", "export", "pipelines", "benchmarks")

# A package's name stands for all of its modules that are not named themselves.
FLOORS = (
    # 0: facts and tensors
    (
        "tailor_tf.latencies",
        "tailor_tf.layers",
        "tailor_tf.blocks",
        "tailor_tf.graph",
        "tailor_tf.costs",
        "tailor_tf.bundle_manifest",
        "tailor_tf.errors",
        "tailor_tf.files",
        "tailor_tf.losses",
        "tailor_tf.records",
        "tailor_tf.outcome",
        "tailor_tf.report",
        "tailor_tf.tables",
        "tailor_tf.charts",
        "tailor_tf.drawing",
        "tailor_tf.architecture_picture",
        "tailor_tf.score",
        "tailor_tf.standings",
        "tailor_tf.challenge",
        "tailor_tf.locks",
        "tailor_tf.page",
    ),
    # 1: sources
    ("tailor_tf.backbones.*", "tailor_tf.data.*"),
    # 2: the method
    (
        "tailor_tf.student",
        "tailor_tf.baselines",
        "tailor_tf.complexity",
        "tailor_tf.distillation",
        "tailor_tf.pruning",
        "tailor_tf.compaction",
        "tailor_tf.folding",
        "tailor_tf.sharing",
        "tailor_tf.task_pack",
        "tailor_tf.bundle_store",
    ),
    # 3: acts, and the package's own face, which names what users import
    (
        "tailor_tf",
        "tailor_tf.training",
        "tailor_tf.bundle",
        "tailor_tf.checkpoints",
        "tailor_tf.pretraining",
        "tailor_tf.phases",
        "tailor_tf.phase_settings",
        "tailor_tf.settings",
        "tailor_tf.levels",
        "tailor_tf.tailoring",
        "tailor_tf.decathlon",
        "tailor_tf.selection",
        "tailor_tf.logs",
    ),
    # 4: artifacts
    ("export.*",),
    # 5: programs
    ("pipelines.*", "benchmarks.*"),
)

TF_KERAS_MODULE = "export.optimize"  # pruning and clustering of weights exist for tf-keras alone


def _modules():
    """File of every module by its dotted name; a package's `__init__` has the package's name."""
    found = {}
    for file in sorted(f for package in PACKAGES for f in (ROOT / package).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = _modules()
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in MODULES.items()}


def floor(module):
    """Number of the floor that a module lives on; -1 for none."""
    for number, names in enumerate(FLOORS):
        packages = [name.removesuffix(".*") for name in names if name.endswith(".*")]
        if module in names or any(f"{module}.".startswith(f"{name}.") for name in packages):
            return number
    return -1


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


def walk_module_level(tree):
    """The nodes of a module that run when it is imported: function bodies left out."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from walk_module_level(node)


def _package(module):
    is_package = MODULES[module].name == "__init__.py"
    return module if is_package else module.rpartition(".")[0]


def project_imports(module):
    """The project's modules that a module imports, anywhere in it."""
    found = set()
    for name in imports(ast.walk(TREES[module]), _package(module)):
        while name and name not in MODULES:
            name = name.rpartition(".")[0]
        if name:
            found.add(name)
    return found


def mentions_tf_keras(tree):
    """Whether `tf.keras` or `tensorflow.keras` is used or imported."""
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used = {ast.unparse(node) for node in attributes} & {"tf.keras", "tensorflow.keras"}
    names = imports(ast.walk(tree), "tailor_tf")
    return bool(used) or any(f"{name}.".startswith("tensorflow.keras.") for name in names)


def _imports_package(names, package):
    return any(f"{name}.".startswith(f"{package}.") for name in names)


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_floor(module):
    assert floor(module) >= 0, f"{module} is on no floor; enter it in FLOORS"


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_from_no_higher_floor(module):
    above = {name for name in project_imports(module) if floor(name) > floor(module)}
    assert not above, f"{module} on floor {floor(module)} imports {sorted(above)} from above"


@pytest.mark.parametrize("module", MODULES)
def test_model_building_code_imports_keras_alone(module):
    if floor(module) in (0, 2) or module.startswith("tailor_tf.backbones"):
        names = imports(walk_module_level(TREES[module]), _package(module))
        assert not _imports_package(names, "tensorflow"), f"{module} imports tensorflow"


@pytest.mark.parametrize("module", MODULES)
def test_module_uses_keras_and_not_tf_keras(module):
    assert not mentions_tf_keras(TREES[module]), f"{module} uses tf.keras; use keras"
    names = imports(ast.walk(TREES[module]), _package(module))
    assert module == TF_KERAS_MODULE or not _imports_package(names, "tf_keras")


def test_report_is_made_of_records_alone():
    assert "tailor_tf.report" in MODULES
    names = ("report", "page", "tables", "charts", "architecture_picture", "outcome", "records")
    of_records = {f"tailor_tf.{name}" for name in (*names, "drawing")}
    allowed = of_records | {"tailor_tf.errors", "tailor_tf.graph", "tailor_tf.files"}
    for module in of_records:
        assert project_imports(module) <= allowed


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

    def test_module_level_is_what_runs_at_import(self):
        source = "if True:\n    import a\ndef f():\n    import b\nclass C:\n    import c\n"
        assert imports(walk_module_level(ast.parse(source)), "p") == {"a", "c"}

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

    def test_floors(self):
        assert floor("tailor_tf.graph") == 0
        assert floor("tailor_tf.backbones") == floor("tailor_tf.backbones.weights") == 1
        assert floor("pipelines.pretrain") == 5
        assert floor("tailor_tf.something_new") == -1

    def test_finds_the_projects_own_imports(self):
        assert {"tailor_tf.graph", "tailor_tf.backbones.weights"} <= project_imports(
            "tailor_tf.student"
        )
        assert "tailor_tf.complexity" in project_imports("tailor_tf.distillation")
