"""One SavedModel for many tasks."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from export import bundle, parity, shared_tasks, sizes
from export.metadata import ArtifactError
from export.saved_model import requests
from export.saved_model import shared as shared_saved_model
from export.saved_model import single as saved_model
from tailor_tf.bundle import sharing
from tailor_tf.method.compaction import compact
from tailor_tf.method.folding import fold
from tailor_tf.support.names import TaskNameError
from tests.builders import universal
from tests.export.shared_tasks import (
    TASKS,
    assert_same_logits,
    damaged,
    own_logits,
    pixels,
    random_tasks,
    stranger,
    subject,
)

NAMES = [name for name, *_ in TASKS]


def _publish(folder, tasks):
    return bundle.publish(shared_saved_model.SharedSavedModel(), subject(tasks, folder))


@pytest.fixture(scope="module")
def tasks(small):
    return random_tasks(small)


@pytest.fixture(scope="module")
def folder(tasks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_model")
    shared_saved_model.save(folder, tasks)
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    return shared_saved_model.load(folder)


@pytest.fixture(scope="module")
def stored(folder):
    """The variables in the file, without TensorFlow's own entries."""
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    return [reader.get_tensor(key) for key in shapes if key.endswith("VARIABLE_VALUE")]


class TestAnswers:
    @pytest.mark.parametrize("name", NAMES)
    def test_logits_are_those_of_the_task_alone(self, tasks, loaded, name):
        images = pixels(tasks[name])
        answer = loaded[0].signatures[name](images=tf.constant(images))
        expected = own_logits(tasks[name], images)
        assert_same_logits(answer["logits"], expected)
        classes = [name.decode() for name in answer["class_name"].numpy()]
        assert classes == [tasks[name].info.classes[index] for index in expected.argmax(-1)]
        np.testing.assert_allclose(tf.reduce_sum(answer["scores"], -1), 1, rtol=1e-5)

    @pytest.mark.parametrize("name", NAMES)
    def test_encoded_images(self, tasks, loaded, name):
        images = pixels(tasks[name])
        contents = [tf.io.encode_png(image) for image in images]
        answer = loaded[0].signatures[f"{name}_encoded"](encoded=tf.stack(contents))
        assert_same_logits(answer["logits"], own_logits(tasks[name], images))

    def test_images_of_another_size_are_what_a_model_alone_makes_of_them(
        self, tasks, loaded, tmp_path
    ):
        task = tasks["animals"]
        info = shared_tasks.info("animals", task)
        saved_model.save(tmp_path / "alone", fold(compact(task.student)), info)
        alone, _ = saved_model.load(tmp_path / "alone")
        images = tf.constant(np.random.default_rng(3).integers(0, 256, (2, 50, 31, 3), np.uint8))
        received = loaded[0].signatures["animals"](images=images)["logits"]
        expected = alone.signatures["serving_default"](images=images)["logits"]
        assert_same_logits(received, expected.numpy())

    def test_a_bad_image_is_an_error_of_its_request(self, loaded):
        with pytest.raises(tf.errors.InvalidArgumentError, match="5 bytes that are no JPEG, PNG"):
            loaded[0].signatures["animals_encoded"](encoded=tf.constant([b"hello"]))

    def test_metadata_and_labels(self, tasks, loaded, folder):
        assert loaded[1] == {name: shared_tasks.info(name, task) for name, task in tasks.items()}
        labels = (folder / "assets" / "digits.v2.labels.txt").read_text(encoding="utf-8")
        assert labels.splitlines() == list("0123456789")


class TestSharing:
    def test_every_universal_kernel_is_stored_once(self, small, stored):
        kernels = sharing.universal_kernels(small)
        assert len(kernels) == 1 + 4  # stem and blocks; the head is the tasks'
        for kernel in kernels.values():
            assert sum(np.array_equal(kernel, other) for other in stored) == 1

    def test_nothing_but_universal_kernels_and_the_tasks_is_stored(self, small, tasks, stored):
        universal_bytes = sum(
            kernel.numpy().nbytes for kernel in sharing.universal_kernels(small).values()
        )
        # Of a task, a factor and an offset instead of a mean and a variance; gates are inside.
        own = sum(
            variable.numpy().nbytes
            for task in tasks.values()
            for variable in task.student.task_weights().values()
        )
        assert universal_bytes < sum(array.nbytes for array in stored) <= universal_bytes + own

    @pytest.mark.parametrize("name", NAMES)
    def test_all_tasks_read_the_same_variables(self, tasks, loaded, name):
        model, _ = loaded
        shared = {id(variable.handle) for variable in model.universal}
        assert len(shared) == 1 + 4
        for signature in requests.signatures(name):
            read = model.signatures[signature].variables
            universal_blocks = tasks[name].student.architecture.universal_blocks
            assert len({id(v.handle) for v in read} & shared) == 1 + len(universal_blocks)
            own = [v for v in read if id(v.handle) not in shared]
            assert not any(v.shape[:2] == (3, 3) for v in own)  # proxies are 1x1

    def test_cost_of_one_more_task(self, tasks, folder, tmp_path):
        some = {name: tasks[name] for name in NAMES[:2]}
        shared_saved_model.save(tmp_path / "two", some)
        own = tasks[NAMES[2]].student.task_weights().values()
        limit = 1.1 * sum(variable.numpy().nbytes for variable in own) + 256 * 1024
        assert sizes.on_disk(folder) - sizes.on_disk(tmp_path / "two") <= limit


class TestBadInput:
    def test_no_task(self, tmp_path):
        with pytest.raises(ArtifactError, match="no task to export; expected one or more"):
            shared_saved_model.save(tmp_path, {})

    @pytest.mark.parametrize("name", ["", "_a", "../a", "a b", "a/b", "-a", "a.", "a\n"])
    def test_name_that_is_none_of_a_signature(self, tasks, tmp_path, name):
        with pytest.raises(TaskNameError, match="cannot be the name of a task; expected at most"):
            shared_saved_model.save(tmp_path, {name: tasks["animals"]})

    def test_name_that_is_not_ascii(self, tasks, tmp_path):
        shared_saved_model.save(tmp_path, {"vögel": tasks["animals"]})
        assert set(tf.saved_model.load(str(tmp_path)).signatures) == {"vögel", "vögel_encoded"}
        assert list(shared_saved_model.load(tmp_path)[1]) == ["vögel"]

    def test_two_tasks_with_one_signature(self, tasks, tmp_path):
        both = {"a": tasks["animals"], "a_encoded": tasks["digits.v2"]}
        with pytest.raises(ArtifactError, match=r"a and a_encoded .* signature a_encoded"):
            shared_saved_model.save(tmp_path, both)

    def test_tasks_of_different_universal_networks(self, small, tasks, tmp_path):
        other = universal(small.graph, np.random.default_rng(99))
        both = {"a": tasks["animals"], "b": stranger(tasks["animals"], other)}
        with pytest.raises(ArtifactError, match=r"b belongs to the universal network .* and a to"):
            shared_saved_model.save(tmp_path, both)

    def test_another_model(self, tasks, small, tmp_path):
        with pytest.raises(ArtifactError, match="is no SavedModel"):
            shared_saved_model.load(tmp_path)
        tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
        with pytest.raises(ArtifactError, match="expected a SavedModel of many tasks"):
            shared_saved_model.load(tmp_path / "other")


class TestPublication:
    @pytest.fixture(scope="class")
    def published(self, tasks, tmp_path_factory):
        """Versions with one task, then with two others."""
        folder = tmp_path_factory.mktemp("exports")
        first, *others = NAMES
        versions = [
            _publish(folder, {name: tasks[name] for name in some}) for some in ([first], others)
        ]
        return folder / "serving", versions

    def test_tasks_come_and_go_with_versions(self, published):
        folder, versions = published
        assert versions == [folder / "tasks" / "1", folder / "tasks" / "2"]
        first, *others = NAMES
        assert list(shared_saved_model.load(versions[0])[1]) == [first]
        assert list(shared_saved_model.load(versions[1])[1]) == others

    def test_configuration(self, published):
        text = (published[0] / "models.config").read_text()
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        (model,) = config.model_config_list.config
        assert (model.name, model.base_path) == ("tasks", "/models/tasks")

    def test_warm_up_requests_of_every_signature_are_answered(self, published):
        model, _ = shared_saved_model.load(published[1][1])
        asked = []
        for record in tf.data.TFRecordDataset(str(published[1][1] / requests.WARM_UP)):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            request = log.predict_log.request
            assert request.model_spec.name == "tasks"
            inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            (batch,) = {len(value) for value in inputs.values()}
            answer = model.signatures[request.model_spec.signature_name](
                **{key: tf.constant(value) for key, value in inputs.items()}
            )
            assert len(answer["logits"]) == batch
            asked.append((request.model_spec.signature_name, batch))
        signatures = [s for name in NAMES[1:] for s in requests.signatures(name)]
        assert sorted(asked) == sorted((s, b) for s in signatures for b in (1, 32))

    def test_a_model_that_answers_otherwise_is_not_published(self, tasks, tmp_path, monkeypatch):
        monkeypatch.setattr(sharing, "shared_network", damaged(sharing.shared_network))
        with pytest.raises(parity.ParityError, match="saved_model animals is not what was trained"):
            _publish(tmp_path, {"animals": tasks["animals"]})
        assert not list((tmp_path / "serving" / "tasks").iterdir())
