"""The command line: options, output, starting flows."""
