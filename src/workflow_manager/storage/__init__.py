"""Buckets, one kind a file."""
