"""Files of Keras models: what is read, what is refused in one line, and that nothing is run."""

import json
import os
import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers as kl

from tailor_tf import load_universal
from tailor_tf.support.errors import TailorError
from tests import builders, keras_builders


@pytest.fixture(scope="module")
def model():
    return builders.randomise(keras_builders.classifier(), np.random.default_rng(0))


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "mine.keras"
    model.save(path)
    return path


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
def test_files_give_the_network_of_the_model(suffix, model, tmp_path):
    model.save(tmp_path / f"mine{suffix}")
    network = load_universal(tmp_path / f"mine{suffix}", blocks=3)
    expected = load_universal(model, blocks=3)
    assert network.fingerprint == expected.fingerprint
    assert network.graph.config == expected.graph.config
    assert network.graph.normalisation == expected.graph.normalisation


def _loss(labels, scores):
    return scores


def test_compiled_and_half_precision_models(tmp_path):
    previous = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float16")
        model = keras_builders.classifier()
    finally:
        keras.config.set_dtype_policy(previous)
    model.compile(keras.optimizers.SGD(), loss=_loss)
    model.save(tmp_path / "half.keras")
    network = load_universal(tmp_path / "half.keras")
    assert {v.dtype for v in network.model.weights} == {"float32"}
    assert {layer.compute_dtype for layer in network.model.layers} == {"float32"}


def _rewritten(file, path, **entries):
    """A copy of a .keras file whose entries are replaced; functions get the old JSON."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            change = entries.get(name.partition(".")[0])
            if change is not None:
                content = change(content)
            if content is not None:
                target.writestr(name, content)
    return path


def _json(change):
    def changed(content):
        value = json.loads(content)
        change(value)
        return json.dumps(value)

    return changed


def _layer(value, name):
    """The entry of a layer in the nested network."""
    [body] = [entry for entry in value["config"]["layers"] if entry["name"] == "body"]
    return next(entry for entry in body["config"]["layers"] if entry["name"] == name)


DAMAGED = {
    "cut short": (lambda f, p: p.write_bytes(f.read_bytes()[:-2000]), "Cannot read a model from"),
    "empty": (lambda f, p: p.write_bytes(b""), "Cannot read a model from"),
    "no archive": (lambda f, p: p.write_text("a model"), "Cannot read a model from"),
    "no architecture": (
        lambda f, p: _rewritten(f, p, config=lambda content: None),
        "Cannot read a model from",
    ),
    "no JSON": (lambda f, p: _rewritten(f, p, config=lambda c: c[:-9]), "Cannot read a model from"),
    "no version": (
        lambda f, p: _rewritten(f, p, metadata=lambda content: "[]"),
        "Cannot read a model from",
    ),
    "no weights": (
        lambda f, p: _rewritten(f, p, model=lambda content: None),
        "Keras cannot build the model of",
    ),
    "weights cut short": (
        lambda f, p: _rewritten(f, p, model=lambda content: content[:-5000]),
        "Keras cannot build the model of",
    ),
    "Keras 2": (
        lambda f, p: _rewritten(f, p, metadata=_json(lambda m: m.update(keras_version="2.15.0"))),
        r"was written by Keras 2.15.0; expected Keras 3\. ",
    ),
    "Keras 4": (
        lambda f, p: _rewritten(f, p, metadata=_json(lambda m: m.update(keras_version="4.0.1"))),
        r"was written by Keras 4.0.1; expected Keras 3\. ",
    ),
    "unknown layer": (
        lambda f, p: _rewritten(
            f, p, config=_json(lambda c: _layer(c, "unit2_a").update(class_name="Conv2E"))
        ),
        "Keras cannot build the model of .*Conv2E",
    ),
    "unknown argument": (
        lambda f, p: _rewritten(
            f, p, config=_json(lambda c: _layer(c, "unit2_a")["config"].update(sides=3))
        ),
        "Keras cannot build the model of",
    ),
    "module of its own": (
        lambda f, p: _rewritten(
            f, p, config=_json(lambda c: _layer(c, "unit2_a").update(module="os"))
        ),
        r"has the layer unit2_a \(Conv2D of os\), which is no layer of Keras",
    ),
    "other shape": (
        lambda f, p: _rewritten(
            f, p, config=_json(lambda c: _layer(c, "unit2_a")["config"].update(filters=9))
        ),
        "Keras cannot build the model of",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_files(damage, message, file, tmp_path):
    path = tmp_path / "damaged.keras"
    damage(file, path)
    _refused(path, message)


def _refused(path, message, **options):
    with pytest.raises(ValueError, match=message) as caught:
        load_universal(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 800
    assert str(path) in text


def test_code_in_a_file_is_not_run(tmp_path):
    evil = tmp_path / "evil"
    images = keras.Input((16, 16, 3))
    function = eval(f"lambda x: __import__('pathlib').Path({str(evil)!r}).touch() or x")
    x = kl.Lambda(function, output_shape=(16, 16, 3), name="code")(images)
    model = keras.Model(images, keras_builders.units(x))
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"code{suffix}"
        model.save(path)
        evil.unlink(missing_ok=True)
        _refused(path, r"has the layer code \(Lambda\), which holds code", normalisation="tf")
        assert not evil.exists()


def test_layers_of_ones_own(tmp_path):
    class Doubled(kl.Layer):
        def call(self, x):
            return 2 * x

    images = keras.Input((16, 16, 3))
    x = keras_builders.units(Doubled(name="own")(images))
    keras.Model(images, x).save(tmp_path / "own.keras")
    _refused(tmp_path / "own.keras", r"has the layer own \(Doubled of .*is no layer of Keras")
    keras.Model(images, x).save(tmp_path / "own.h5")
    _refused(tmp_path / "own.h5", "Keras cannot build .*Doubled")


def test_files_of_keras_2(model, tmp_path):
    path = tmp_path / "old.h5"
    model.save(path)
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = b"2.11.0"  # as it was written then
    _refused(path, r"was written by Keras 2\.11\.0; expected Keras 3")
    saved_model = tmp_path / "saved_model"
    saved_model.mkdir()
    (saved_model / "saved_model.pb").touch()
    _refused(saved_model, "is a folder, such as a SavedModel of TensorFlow")


def test_weights_alone(model, tmp_path):
    path = tmp_path / "of_mine.weights.h5"
    model.save_weights(path)
    _refused(path, "holds weights without a model; .*--backbone, one of .*MobileNetV2")


def test_a_backbone_beside_a_whole_model(file):
    _refused(file, "holds a whole model; expected no backbone", backbone="MobileNetV2")


def test_settings_that_it_does_not_have(file):
    _refused(file, "has no setting width; it takes image_size, blocks", width=0.5)


def test_a_missing_file():
    with pytest.raises(ValueError, match=r"No universal network 'no\.keras'; .*a \.keras or \.h5"):
        load_universal(pathlib.Path("no.keras"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.keras", {}),
        ("a.h5", {}),
        ("a.h5", {"backbone": "MobileNetV2"}),
        ("a", {}),
        ("a", {"backbone": "resnet18"}),
    ],
)
def test_pipes_in_the_place_of_files(tmp_path, name, options):
    os.mkfifo(tmp_path / name)
    with pytest.raises(TailorError, match=f"{name} is a pipe; expected a regular file"):
        load_universal(tmp_path / name, **options)
