"""Where uploads are announced: one source a file. What they say is a hint, and is never trusted further."""
