"""The command line: options, what is printed, what is started."""
