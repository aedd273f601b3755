"""The boundary of every command: whatever goes wrong inside is one paragraph and an exit code."""

import os
import sys
from collections.abc import Callable
from itertools import pairwise

from flows import clock
from forecasting.option_values import refuse_empty_values
from forecasting.pipeline.unexpected import explained
from forecasting.plain_text import without_password
from forecasting.standard_streams import open_closed_streams


def run_command(command: Callable[[], object]) -> None:
    """Run the command of `sys.argv`; an error ends the process with its message and its exit code."""
    open_closed_streams()
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect's client would report its use when it is imported
    # A proxy that the environment names cannot reach a Prefect server on this machine, as that of `run` and `serve`.
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    ours = [] if {"*", "127.0.0.1"} & set(direct.split(",")) else ["127.0.0.1", "localhost"]
    os.environ["no_proxy"] = ",".join(filter(None, [direct, *ours]))
    getattr(sys.stdout, "reconfigure", lambda **_: None)(errors="backslashreplace")  # Latin-1 lacks the dash of ranges
    try:
        refuse_empty_values(sys.argv[1:])
        sys.argv[1:] = [_as_echoed(*pair) for pair in pairwise(sys.argv)]
        command()
    except Exception as error:
        ended = explained(error, now=clock.now)
        sys.stderr.write(f"{ended}\n")
        sys.exit(ended.exit_code)


def _as_echoed(before: str, argument: str) -> str:
    """The argument, without its password unless it is for an option that takes one: Click repeats what it refuses."""
    name, option, _ = argument.partition("=")
    takes_one = {before, name if option else before} & {"--database-url", "--source"}
    return argument if takes_one else without_password(argument)
