"""Order, retries, schedule, clock and command line: everything that turns the library into a night."""
