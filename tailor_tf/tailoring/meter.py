"""Interface of meters, which measure latencies for a run."""

from collections.abc import Mapping
from typing import Protocol

import keras

from tailor_tf.network.latencies import Latencies


class Meter(Protocol):
    """Measures latencies on this machine, such as `export.meter.Meter`.

    Attributes:
        measured_on: processor, runtime, precision and threads of the measurements.
    """

    measured_on: Mapping[str, str]

    def latencies(self) -> Latencies:
        """Latencies of the universal network and all its pieces and proxies."""

    def measure(self, network: keras.Model) -> float:
        """Latency of a network, from images to logits, for one image in milliseconds."""
