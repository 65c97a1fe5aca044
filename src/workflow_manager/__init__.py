"""The scheduler of a Prio-style batch pipeline on object storage."""

__version__ = "0.1.0"
