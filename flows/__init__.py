"""Order, retries, schedule, clock and command line of the nights that the library computes."""

import atexit
import gc
import signal
import sys
from contextlib import suppress

if "__mp_main__" in sys.modules:  # a worker that starts: Ctrl-C ends it without a traceback
    with suppress(ValueError):  # of Python, in a thread of one of Dask's
        signal.signal(signal.SIGINT, signal.SIG_DFL)

# Imports are no garbage: looking for some among them took a twelfth of the CPU of a start, and half
# a second of an end.
gc.set_threshold(20_000, 10, 10)
atexit.register(gc.freeze)
