"""Filter of standard error: drops TensorFlow's useless messages and keeps its errors.

TensorFlow and LiteRT write about thirty lines of information and warnings to the file descriptor of
standard error, from C++, between the lines that matter to a user. No setting of TensorFlow 2.21
stops them. A small process therefore reads that descriptor, drops the lines that are known to be
useless, and prints all others. It is a process and not a thread, so that the last lines of a
program that crashes are printed, too.
"""

import atexit
import os
import re
import subprocess
import sys

SHOW_ALL = ("TF_CPP_MIN_LOG_LEVEL", "0")  # environment variable and value that turn the filter off

_CPP = rb"0000 00:00:\d+\.\d+ +\d+ "  # time in messages from C++; Python's messages have a date
_CHATTER = re.compile(
    rb"[IW]" + _CPP + rb"|E" + _CPP + rb"cuda_platform\.cc"  # there is no GPU
    rb"|E" + _CPP + rb"meta_optimizer\.cc"  # one optimisation of a graph was not done
    rb"|WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions: "
    rb"|INFO: Created TensorFlow Lite "
    rb"|fully_quantize: "
    rb"|Improper call to JPEG library"  # a broken image, which gets a message of its own
)
_FIRST = (b"I", b"W", b"E", b"T", b"f")  # first bytes of chatter
_FLUSH = b"\0\n"  # asks the filter to confirm that it printed all lines so far


def silence() -> None:
    """Starts the filter of standard error for the rest of the process."""
    name, value = SHOW_ALL
    if os.environ.get(name) == value:
        return
    os.environ.setdefault(name, "3")  # silences other versions of TensorFlow
    lines, into_lines = os.pipe()
    flushed, into_flushed = os.pipe()
    subprocess.Popen(
        [sys.executable, "-S", "-E", __file__],
        stdin=lines,
        stdout=into_flushed,
        start_new_session=True,  # Ctrl-C is for the program alone
    )
    os.dup2(into_lines, 2)
    for descriptor in (lines, into_lines, into_flushed):
        os.close(descriptor)
    atexit.register(_flush, flushed)


def _flush(flushed: int) -> None:
    """Waits until the filter has printed all lines so far."""
    sys.stderr.flush()
    try:
        os.write(2, _FLUSH)
        os.read(flushed, 1)
    except OSError:
        pass  # the filter has ended, so there is nothing to wait for


def is_chatter(line: bytes) -> bool:
    """Whether a line of standard error is known to be useless."""
    return _CHATTER.match(line) is not None


def _filter() -> None:
    """Copies standard input to standard error without useless lines."""
    rest = b""  # begin of a line
    while read := os.read(0, 2**16):
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            _pass_on(line + b"\n")
        if not _may_become_chatter(rest):  # such as a progress bar or a question
            os.write(2, rest)
            rest = b""
    os.write(2, rest)


def _may_become_chatter(begin: bytes) -> bool:
    """Whether the begin of a line has to wait for the rest of the line."""
    return begin.endswith(_FLUSH[:1]) or (begin[:1] in _FIRST and b"\r" not in begin)


def _pass_on(line: bytes) -> None:
    if line.endswith(_FLUSH):
        os.write(2, line.removesuffix(_FLUSH))
        os.write(1, b".")
    elif not is_chatter(line):
        os.write(2, line)


if __name__ == "__main__":
    _filter()
