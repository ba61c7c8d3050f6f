"""Configurations and warm-up requests, read as TensorFlow Serving reads them."""

import re

import tensorflow as tf
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from export.saved_model import requests
from export.serving import configuration


def _message(text, name):
    """An empty message of a type that is described as `FileDescriptorProto`, text format."""
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(text_format.Parse(text, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()


def _batching():
    """`tensorflow.serving.BatchingParameters` of session_bundle_config.proto."""
    numbers = (
        "max_batch_size",
        "batch_timeout_micros",
        "max_enqueued_batches",
        "num_batch_threads",
    )
    fields = "".join(
        f'field {{ name: "{name}" number: {number} label: LABEL_OPTIONAL type: TYPE_MESSAGE '
        'type_name: ".google.protobuf.Int64Value" }'
        for number, name in enumerate(numbers, start=1)
    )
    text = (
        'name: "batching.proto" package: "tensorflow.serving" syntax: "proto3" '
        'dependency: "google/protobuf/wrappers.proto" '
        f'message_type {{ name: "BatchingParameters" {fields} }}'
    )
    return _message(text, "tensorflow.serving.BatchingParameters")


def _monitoring():
    """`tensorflow.serving.MonitoringConfig` of monitoring_config.proto."""
    text = """
        name: "monitoring.proto" package: "tensorflow.serving" syntax: "proto3"
        message_type {
          name: "PrometheusConfig"
          field { name: "enable" number: 1 label: LABEL_OPTIONAL type: TYPE_BOOL }
          field { name: "path" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }
        }
        message_type {
          name: "MonitoringConfig"
          field {
            name: "prometheus_config" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
            type_name: ".tensorflow.serving.PrometheusConfig"
          }
        }
    """
    return _message(text, "tensorflow.serving.MonitoringConfig")


class TestServingFiles:
    def test_numbers_are_filled_in(self, model):
        texts = {name: configuration.template(name) for name in configuration.TEMPLATES}
        assert not [name for name, text in texts.items() if "$" in text]
        ports = [line.strip() for line in texts["compose.yaml"].splitlines() if ":85" in line]
        assert ports == ['- "127.0.0.1:8500:8500"', '- "127.0.0.1:8501:8501"']
        assert re.search(r"image: tensorflow/serving:\d+\.\d+\.\d+\n", texts["compose.yaml"])
        for name, text in texts.items():
            assert (model.parents[1] / name).read_text() == text

    def test_models_are_listed(self, model):
        text = (model.parents[1] / "models.config").read_text()
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        (entry,) = config.model_config_list.config
        assert (entry.name, entry.base_path) == ("animals", "/models/animals")
        assert entry.model_platform == "tensorflow"

    def test_batching_and_monitoring_are_what_the_server_reads(self, model):
        """Against TF Serving's own definitions of these messages, which its package leaves out."""
        folder = model.parents[1]
        batching = text_format.Parse((folder / "batching.config").read_text(), _batching())
        assert batching.max_batch_size.value == requests.MAX_BATCH
        assert batching.batch_timeout_micros.value > 0
        monitoring = text_format.Parse((folder / "monitoring.config").read_text(), _monitoring())
        assert monitoring.prometheus_config.enable
        assert monitoring.prometheus_config.path.startswith("/monitoring")

    def test_warm_up_replays(self, model, signatures):
        records = tf.data.TFRecordDataset(str(model / requests.WARM_UP))
        seen = set()
        for record in records.as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            assert request.model_spec.name == "animals"
            inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
            outputs = signatures[request.model_spec.signature_name](**inputs)
            seen.add((request.model_spec.signature_name, outputs["logits"].shape[0]))
        names = ("serving_default", "encoded_images")
        assert seen == {(name, batch) for name in names for batch in (1, requests.MAX_BATCH)}

    def test_what_a_person_changed_is_kept(self, model):
        folder = model.parents[1]
        (folder / "batching.config").write_text("max_batch_size { value: 7 }\n")
        (folder / "plants").mkdir()
        configuration.write_configurations(folder)
        assert "7" in (folder / "batching.config").read_text()
        assert "plants" in (folder / "models.config").read_text()
        (folder / "plants").rmdir()

    def test_a_folder_with_any_name_is_one_entry_or_none(self, tmp_path):
        quoted = 'a" base_path: "b'
        for name in (quoted, "a}{b", "\u65e5\u672c", "caf\udce9", "a\nb", ".unfinished-x", "link"):
            (tmp_path / name).mkdir()
        configuration.write_configurations(tmp_path)
        text = (tmp_path / "models.config").read_text(encoding="utf-8")
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        found = {entry.name: entry.base_path for entry in config.model_config_list.config}
        names = (quoted, "a}{b", "\u65e5\u672c", "link")
        assert found == {name: f"/models/{name}" for name in names}

    def test_compose_file_names_what_is_there(self, model):
        folder = model.parents[1]
        lines = (folder / "compose.yaml").read_text().split()
        for line in lines:
            if "=/models/" in line:
                assert (folder / line.partition("=/models/")[2]).exists()
