"""Flags and environment -> one checked configuration."""
