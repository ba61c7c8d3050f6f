"""Base class of the errors that a user can cause."""


class TailorError(ValueError):
    """Error in the input of a user: a setting, a file or a folder of images.

    The message says what was received, what was expected and what to do. Programs print it without
    a stack trace.
    """
