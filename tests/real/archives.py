"""The decathlon's archives in small, made from real images, and served as its own are."""

import contextlib
import functools
import http.server
import io
import json
import pathlib
import tarfile
import threading

from PIL import Image

from tailor_tf.decathlon import score
from tests.shared_data import image_set

# Which images stand for a domain's: set and its folder.
SOURCES = {
    "imagenet12": ("tiny_imagenet", "test"),
    "aircraft": ("clothing10_64", "test"),
    "cifar100": ("cifar10_lossless100", "test"),
    "daimlerpedcls": ("clothing10", "test"),
    "dtd": ("dtd10_64", "test"),
    "gtsrb": ("gtsrb", "test"),
    "vgg-flowers": ("dtd10", "test"),
    "omniglot": ("omniglot_small", "test"),
    "svhn": ("sign_digits", "test"),
    "ucf101": ("sign_digits_64", "test"),
}
CLASSES, SHORT_SIDE = 2, 72
IMAGES = {"train": 12, "val": 4, "test": 4}  # per domain


def _jpeg(path: pathlib.Path, index: int) -> bytes:
    """The image with a shorter side of 72 pixels, wide and high ones by turns."""
    size = (SHORT_SIDE + 24 * (index % 2), SHORT_SIDE + 24 * ((index + 1) % 2))
    file = io.BytesIO()
    Image.open(path).convert("RGB").resize(size).save(file, "JPEG", quality=95)
    return file.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _classes(domain: str) -> int:
    """Classes of a domain, of which only the first ones have images here."""
    from tensorflow_datasets.image_classification import visual_domain_decathlon as module

    configs = module.VisualDomainDecathlon.BUILDER_CONFIGS
    return next(config.num_classes for config in configs if config.name == domain)


def _domain(domain: str, first_id: int) -> tuple[bytes, dict[str, dict]]:
    """A domain's tar archive, and its annotations by split, those of the test images whole."""
    folder = image_set(*SOURCES[domain]) / SOURCES[domain][1]
    classes = sorted(entry.name for entry in folder.iterdir())[:CLASSES]
    files = [sorted((folder / name).iterdir()) for name in classes]
    categories = [{"id": 10 * first_id + c, "name": f"class {c}"} for c in range(_classes(domain))]
    content, annotations, position = io.BytesIO(), {}, 0
    with tarfile.open(fileobj=content, mode="w") as archive:
        for split, count in IMAGES.items():
            images, labels = [], []
            for index in range(count):
                label = index % CLASSES
                name = f"{domain}/{split}/{index:06d}.jpg"
                source = files[label][position // CLASSES % len(files[label])]
                _add(archive, name, _jpeg(source, position))
                images.append({"id": first_id + position, "file_name": f"data/{name}"})
                category = categories[label]["id"]
                labels.append({"image_id": first_id + position, "category_id": category})
                position += 1
            whole = {"images": images, "categories": categories, "annotations": labels}
            annotations[split] = whole
    return content.getvalue(), annotations


def make(folder: pathlib.Path) -> pathlib.Path:
    """Writes the archives into `folder`, and the test labels into `folder/labels`."""
    (folder / "labels").mkdir(parents=True)
    with (
        tarfile.open(folder / "decathlon-1.0-devkit.tar.gz", "w:gz") as kit,
        tarfile.open(folder / "decathlon-1.0-data.tar.gz", "w:gz") as data,
    ):
        for number, domain in enumerate(score.DOMAINS, start=1):
            archive, annotations = _domain(domain, 1000 * number)
            if domain == "imagenet12":
                (folder / "decathlon-1.0-data-imagenet.tar").write_bytes(archive)
            else:
                _add(data, f"{domain}.tar", archive)
            labels = json.dumps(annotations["test"])
            (folder / "labels" / f"{domain}_test.json").write_text(labels)
            del annotations["test"]["annotations"]
            for split, content in annotations.items():
                suffix = "test_stripped" if split == "test" else split
                name = f"decathlon-1.0/annotations/{domain}_{suffix}.json"
                _add(kit, name, json.dumps(content).encode())
    return folder


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder: pathlib.Path):
    """Yields the address of a server of the folder's files on this machine."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
