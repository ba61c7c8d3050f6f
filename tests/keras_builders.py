"""Small Keras models as people make them, and files of them."""

import keras
from keras import layers as kl


def units(x, widths=(8, 12, 12, 16), strides=(1, 2, 1, 2)):
    """Residual units of two 3x3 convolutions; the shortcut is strided where shapes differ."""
    for number, (width, stride) in enumerate(zip(widths, strides, strict=True), start=1):
        y = kl.Conv2D(width, 3, stride, padding="same", use_bias=False, name=f"unit{number}_a")(x)
        y = kl.BatchNormalization(momentum=0.9, name=f"unit{number}_bn_a")(y)
        y = kl.ReLU(name=f"unit{number}_relu_a")(y)
        y = kl.Conv2D(width, 3, padding="same", use_bias=False, name=f"unit{number}_b")(y)
        y = kl.BatchNormalization(momentum=0.9, name=f"unit{number}_bn_b")(y)
        if x.shape[-1] != width or stride > 1:
            x = kl.Conv2D(width, 1, stride, name=f"unit{number}_shortcut")(x)
        x = kl.ReLU(name=f"unit{number}_relu")(kl.Add(name=f"unit{number}_add")([x, y]))
    return x


def backbone(side=16, name="body", front=()):
    """A network without top: stem and four units, behind the layers `front`."""
    x = images = keras.Input((side, side, 3))
    for layer in front:
        x = layer(x)
    x = kl.Conv2D(8, 3, padding="same", activation="relu", name="first")(x)
    return keras.Model(images, units(x), name=name)


def classifier(side=16, front=None, classes=5, **options):
    """A functional classifier with augmentation, normalisation, a nested backbone and a top."""
    x = images = keras.Input((side, side, 3), name="pictures")
    augmentation = [kl.RandomFlip("horizontal"), kl.RandomRotation(0.1)]
    x = keras.Sequential(augmentation, name="augmentation")(x)
    for layer in [kl.Rescaling(1 / 127.5, -1.0)] if front is None else front:
        x = layer(x)
    x = backbone(side, **options)(x)
    x = kl.GlobalAveragePooling2D()(x)
    x = kl.Dropout(0.3)(x)
    return keras.Model(images, kl.Dense(classes, "softmax")(x), name="mine")


def sequential(side=16, classes=5):
    """A sequential classifier of plain convolutions on images of levels 0 to 255."""
    layers = [keras.Input((side, side, 3)), kl.Rescaling(1 / 255)]
    for number, width in enumerate((8, 8, 12, 12), start=1):
        layers += [kl.Conv2D(width, 3, padding="same", name=f"conv{number}"), kl.ReLU()]
    layers += [kl.MaxPooling2D(), kl.Flatten(), kl.Dense(16, "relu"), kl.Dense(classes)]
    return keras.Sequential(layers, name="plain")
