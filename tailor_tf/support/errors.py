"""The errors that a person can cause."""


class TailorError(ValueError):
    """Something that a person gave does not work: a setting, a file, a folder of images.

    The message says what was received, what was expected and what to do. Programs print it without
    a stack trace.
    """
