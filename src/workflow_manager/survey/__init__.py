"""Read only: a range of time -> what became of each batch and each window. Writes nothing, takes no lease."""
