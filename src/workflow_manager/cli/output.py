"""What becomes of standard output when it cannot be written to."""

import os
import sys


def discard_output(error: OSError) -> None:
    """Say that the output could not be written, and write no more: Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):  # or whoever read it has seen enough
        print(f"workflow-manager: could not write the output: {error}", file=sys.stderr)
