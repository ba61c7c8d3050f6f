"""The one error of this package."""


class DataError(ValueError):
    """Data that cannot be used as asked: what was received, what was expected and what to do."""
