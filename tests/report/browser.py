"""Headless Chromium for tests of pages, where it is installed."""

import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")


def browse(path, width, *options):
    """Opens a page in a window of so many pixels, and returns the finished browser."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", *options]
    command += [f"--window-size={width},2000", f"file://{path}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
