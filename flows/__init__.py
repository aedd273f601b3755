"""Order, retries, schedule, clock and command line of the nights that the library computes."""

import atexit
import gc

# Imports are no garbage: looking for some among them took a twelfth of the CPU of a start, and half a second of an end.
gc.set_threshold(20_000, 10, 10)
atexit.register(gc.freeze)
