"""Base class of errors in the images of a user."""

from tailor_tf.support.errors import TailorError


class DataError(TailorError):
    """Images, a folder or a data set that cannot be used."""
