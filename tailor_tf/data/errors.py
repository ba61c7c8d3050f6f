"""The error of everything that can be wrong with a person's images."""

from tailor_tf.support.errors import TailorError


class DataError(TailorError):
    """Images, a folder or a data set that cannot be used."""
