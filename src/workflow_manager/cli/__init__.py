"""The command line: the only part that prints, exits, or puts the parts together."""
