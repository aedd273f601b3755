"""Order, retries, schedule, clock and command line of the nights that the library computes."""

import gc

# Imports are no garbage: looking for some among them every 700 objects took a twelfth of the CPU of a start.
gc.set_threshold(20_000, 10, 10)
