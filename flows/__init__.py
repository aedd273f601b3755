"""Order, retries, schedule, clock and command line of the nights that the library computes."""
