"""The TFLite files of a task: a file per precision, and further ones with trained weights."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import keras

from export import parity
from export.format import (
    ArtifactOptions,
    Compare,
    Format,
    Improvement,
    QuantisationAware,
    SelectiveQuantisation,
    Subject,
)
from export.optimize import description, optimize
from export.optimize.job import Job
from export.parity import Limits, Parity
from export.tflite import kernels, selective, single
from export.tflite.calibration import calibration_images

_NO_VARIANT = ""


def formats(options: ArtifactOptions) -> list["TFLite"]:
    """The TFLite files that options ask for.

    Raises:
        ArtifactError: sparsity or clusters outside of their range.
    """
    trained = {name: _trained_by(job) for name, job in _jobs(options).items()}
    return [
        TFLite(precision, options, variant, network)
        for variant, network in {_NO_VARIANT: None, **trained}.items()
        for precision in options.precisions
    ]


def _jobs(options: ArtifactOptions) -> dict[str, Job]:
    """Trainings towards files that compress well, by the variant's name."""
    wanted = {"sparse": ("sparsify", options.sparsity), "clustered": ("cluster", options.clusters)}
    return {
        name: Job(method, amount, epochs=options.optimize_epochs)
        for name, (method, amount) in wanted.items()
        if amount is not None
    }


def _trained_by(job: Job) -> Callable[[Subject], keras.Model]:
    """A function that trains the network of a subject, once for all precisions."""
    return functools.cache(lambda subject: optimize.compress(subject.folded, subject.task, job))


@dataclasses.dataclass(frozen=True, eq=False)
class TFLite(Format):
    """A TFLite file.

    Attributes:
        precision: one of `single.PRECISIONS`.
        options: options of the export.
        variant: name of the training that its weights went through; empty for none.
        trained: that training, from a subject to its network; `None` for none.
    """

    precision: str
    options: ArtifactOptions
    variant: str = _NO_VARIANT
    trained: Callable[[Subject], keras.Model] | None = None

    @property
    def name(self) -> str:
        return f"tflite {self.precision} {self.variant}".strip()

    @property
    def file_name(self) -> str:
        return f"{self.variant}{'_' * bool(self.variant)}{self.precision}.tflite"

    @property
    def limits(self) -> Limits:
        exact = {"float32": parity.FLOAT32, "float16": parity.FLOAT16}
        lossy = Limits(max_accuracy_drop=self.options.max_accuracy_drop)
        return exact.get(self.variant or self.precision, lossy)

    def write(self, path: pathlib.Path, subject: Subject) -> None:
        samples = calibration_images(subject.task) if self.precision == "int8" else ()
        content = single.convert(
            self._network(subject),
            self.precision,
            representative=samples,
            integer_io=self.options.integer_io,
        )
        single.save(path, content, subject.info)

    def _network(self, subject: Subject) -> keras.Model:
        if self.trained is not None:
            return self.trained(subject)
        if subject.keeps_kernels:
            return kernels.folded(subject.network, self.precision)
        return subject.folded

    def improve(self, path: pathlib.Path, subject: Subject, compare: Compare) -> Improvement:
        """Improves an int8 file that loses too much, and keeps the most accurate one.

        A few layers stay float, if that is enough. Otherwise the file is trained with quantisation.
        Universal kernels are not trained, so that tasks can share them in such a file, too.
        """
        if self.precision != "int8" or self.variant:
            return Improvement()
        before = compare(path)
        if self._is_enough(before):
            return Improvement()
        network = self._network(subject)
        mixed, best = self._with_float_layers(path, network, subject, compare, before)
        if self._is_enough(best) or description.unknown_layers(network):
            return Improvement(mixed)  # or cannot be trained; the limits say if it will do
        old = path.read_bytes()
        single.save(path, self._quantised(network, subject), subject.info)
        after = compare(path)
        trained = QuantisationAware(best.expected_accuracy, best.accuracy, after.accuracy)
        if after.accuracy > best.accuracy:
            return Improvement(trained=trained)
        path.write_bytes(old)
        return Improvement(mixed, trained)

    def _is_enough(self, found: Parity) -> bool:
        return found.drop <= self.options.max_accuracy_drop

    def _with_float_layers(
        self,
        path: pathlib.Path,
        network: keras.Model,
        subject: Subject,
        compare: Compare,
        before: Parity,
    ) -> tuple[SelectiveQuantisation | None, Parity]:
        """Leaves the most accurate file with float layers at `path`, if one beats `before`.

        Devices whose images are int8 may have no float at all: their files stay int8 throughout.

        Returns:
            Its float layers, `None` where there are none, and its comparison.
        """
        best, chosen, content = before, (), path.read_bytes()
        if self.options.integer_io:
            return None, before
        samples = list(calibration_images(subject.task))
        for layers, candidate in selective.candidates(network, samples):
            single.save(path, candidate, subject.info)
            found = compare(path)
            if found.accuracy > best.accuracy:
                best, chosen, content = found, layers, path.read_bytes()
            if self._is_enough(best):
                break
        path.write_bytes(content)
        if not chosen:
            return None, before
        accuracies = before.expected_accuracy, before.accuracy, best.accuracy
        return SelectiveQuantisation(*accuracies, chosen), best

    def _quantised(self, network: keras.Model, subject: Subject) -> bytes:
        epochs, integer_io = self.options.optimize_epochs, self.options.integer_io
        job = Job("quantise", epochs=epochs, integer_io=integer_io)
        fixed = kernels.universal_convolutions(subject.network)
        return optimize.quantise(network, subject.task, job, fixed=fixed)
