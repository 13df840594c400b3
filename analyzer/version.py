"""The version of the product; also `engine_version` of every answer."""

__version__ = "0.1.0"
