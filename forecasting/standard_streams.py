"""The standard streams of a process whose caller has closed some of them."""

import os
import sys


def open_closed_streams() -> None:
    """Give each standard stream that was closed at the start, as by `2>&-`, the null device: here and in children.

    Python has None in its place, which nothing can be written to; and the next file opened would take its number.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", errors="backslashreplace"))
