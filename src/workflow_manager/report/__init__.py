"""Reports of runs, made for other programs and for people."""
