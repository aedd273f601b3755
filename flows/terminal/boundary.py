"""The boundary of every command: whatever goes wrong inside is one paragraph and an exit code."""

import os
import sys
from collections.abc import Callable

from flows import clock
from forecasting.errors import UsageError
from forecasting.pipeline.unexpected import explained


def run_command(command: Callable[[], object]) -> None:
    """Run the command of `sys.argv`; an error ends the process with its message and its exit code."""
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect's client would report its use when it is imported
    try:
        refuse_empty_values(sys.argv[1:])
        command()
    except Exception as error:
        ended = explained(error, now=clock.now)
        sys.stderr.write(f"{ended}\n")
        sys.exit(ended.exit_code)


def refuse_empty_values(arguments: list[str]) -> None:
    """Refuse empty arguments: for an option one would be read as its default, as from an unset shell variable.

    Raises:
        UsageError: Names the option.
    """
    before = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not argument.strip() or (equals and name.startswith("--") and not value.strip()):
            option = name if equals else before
            raise UsageError(
                f"Expected a value{f' after {option}' if option.startswith('-') else ''}, found an empty text. "
                "Leave the option out for its default, or check the variable that it comes from."
            )
        before = argument
