"""Finds the state of each batch and window in a range of time. Writes nothing and takes no lease."""
