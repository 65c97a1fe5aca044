"""How the C library hands out memory to the threads of a run."""

_M_ARENA_MAX = -8  # of glibc's malloc.h


def share_one_arena() -> None:
    """Have all threads take their memory from one place, where glibc would give them up to eight a core.

    Pages of listings are large and short-lived, and each thread would keep the room for some.
    Only one thread at a time runs Python, so that they do not get into each other's way.
    """
    import ctypes  # noqa: PLC0415 (only a run needs it)

    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except (AttributeError, OSError):
        return  # another C library, without arenas
