"""Programs: `python -m pipelines.NAME --help`."""

import sys

from pipelines.common import chatter, interrupts

if sys.argv[:1] == ["-m"]:  # Python is about to run a program of this package
    interrupts.end_quietly()
    chatter.silence()  # must come before the import of TensorFlow
