"""Real CIFAR-10 networks, imported from PyTorch's names, on real test images."""

import pytest

from tailor_tf.backbones.loading import load_universal
from tailor_tf.data.batches import evaluation_batches
from tailor_tf.data.folder import load_folder
from tailor_tf.data.preprocessing import Preprocessing
from tailor_tf.data.square import Square
from tailor_tf.network.weights import WeightsError
from tailor_tf.training import evaluation
from tests.shared_data import image_set, shared_file

IMAGENET = Preprocessing(
    image_size=32,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    flip=False,
    crop_padding=0,
)


# network: top-1 in percent on 10,000 lossy test images and on 100 lossless ones, as measured with
# the networks' own program and Pillow's JPEG decoder
MEASURED = {
    "cifar_resnet20": (81.03, 94),
    "cifar_resnet32": (82.56, 92),
    "cifar_resnet44": (82.67, 93),
    "cifar_resnet56": (83.20, 96),
}
slow = pytest.mark.slow


def load(name, **config):
    return load_universal(shared_file(f"weights/{name}.safetensors"), backbone=name, **config)


def accuracy(name, task):
    """Top-1 in percent; the folder of class folders is read as one split."""
    _, splits = load_folder(str(image_set(task, "test") / "test"), Square(32))
    batches = evaluation_batches(splits["train"], IMAGENET, batch_size=250)
    return 100 * evaluation.evaluate(load(name).model, batches)


@pytest.mark.parametrize(
    "name", ["cifar_resnet20", *(pytest.param(n, marks=slow) for n in list(MEASURED)[1:])]
)
def test_lossless_images(name):
    assert accuracy(name, "cifar10_lossless100") == pytest.approx(MEASURED[name][1])


@slow
@pytest.mark.parametrize("name", MEASURED)
def test_jpeg_images(name):
    assert accuracy(name, "cifar10_jpeg") == pytest.approx(MEASURED[name][0], abs=0.05)


def test_file_of_another_architecture():
    path = shared_file("weights/cifar_resnet20.safetensors")
    message = r"does not fit cifar_resnet32: block4_conv1/kernel .* received no such tensor"
    with pytest.raises(WeightsError, match=message):
        load_universal(path, backbone="cifar_resnet32")
    with pytest.raises(WeightsError, match="does not say which network it holds"):
        load_universal(path)
