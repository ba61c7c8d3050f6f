"""Progress of work on many images."""

import sys
import time

import keras

_PATIENCE = 3.0  # seconds of work that need no bar


class Progress:
    """A progress bar that appears if the work takes longer than some seconds.

    Without a terminal, there is the label alone.

    Args:
        label: what is being done, the line before the bar.
        total: number of images.
    """

    def __init__(self, label: str, total: int):
        self._label = label
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._is_shown = False
        self._bar: keras.utils.Progbar | None = None

    def __call__(self, done: int) -> None:
        """Adds a number of images that are done."""
        self._done += done
        is_long = time.monotonic() - self._start > _PATIENCE and self._done < self._total
        if is_long and not self._is_shown:
            print(self._label, flush=True)
            self._is_shown = True
            if sys.stdout.isatty():
                self._bar = keras.utils.Progbar(self._total, unit_name="image")
        if self._bar:
            self._bar.update(self._done)

    def end(self) -> None:
        """Ends the line of the bar, if it appeared."""
        if self._bar and self._done < self._total:
            self._bar.update(self._total, finalize=True)
