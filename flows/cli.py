"""The command line: options in, one library or flow call, text, JSON or a file out.

Exit codes are those of errors.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from click import HelpFormatter
from typer.core import TyperGroup

from flows import advanced, daily
from forecasting import __version__
from forecasting.plain_text import without_password


@contextmanager
def without_secrets() -> Iterator[None]:
    """A block in which a message of Click, which may quote an argument, has no password."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # Click's, which Typer may have its own copy of
            error.message = without_password(error.message)  # type: ignore[attr-defined]
        raise


class TwoGroups(TyperGroup):
    """The commands in two groups, each in the order in which they are defined below."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the options before the command."""
        with without_secrets():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Parse the command's options and run it."""
        with without_secrets():
            return super().invoke(ctx)

    def format_commands(self, ctx: typer.Context, formatter: HelpFormatter) -> None:  # type: ignore[override]
        """Write both groups."""
        shown = [command for command in self.commands.values() if not command.hidden]
        limit = formatter.width - 6 - max(len(str(command.name)) for command in shown)
        rows = [(str(one.name), one.get_short_help_str(limit)) for one in shown]
        daily_count = len(daily.app.registered_commands)
        with formatter.section("Every day"):
            formatter.write_dl(rows[:daily_count])
        with formatter.section("Advanced"):
            formatter.write_dl(rows[daily_count:])


def print_result(text: object, version: bool) -> None:
    """Print what a command returns."""
    if text is not None:
        from flows.console import echo

        echo(text)


app = typer.Typer(
    cls=TwoGroups,
    result_callback=print_result,
    name="forecasting",
    help="Nightly quantile forecasts of a stock's trading volume, stored and scored in SQL.",
    epilog="Start with: forecasting run --source sample",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(daily.app)
app.add_typer(advanced.app)


def print_version(asked: bool) -> None:
    """Print the versions of code and schema, and end the command, when `--version` was given."""
    if asked:
        from forecasting.store.migrate import head

        typer.echo(f"forecasting {__version__}, schema revision {head()}")
        raise typer.Exit


@app.callback()
def before_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options that come before a command."""


def set_environment() -> None:
    """Give this process, and those that it starts, what Prefect reads when it is imported."""
    # Its client would report its use
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # The library's lines are of a run's log in Prefect
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "forecasting")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    # A proxy that the environment names cannot reach a Prefect server on this machine
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    if not {"*", "127.0.0.1"} & set(direct.split(",")):
        direct = f"{direct},127.0.0.1,localhost".strip(",")
    os.environ["no_proxy"] = direct


def main(command: Callable[[], object] = app) -> None:
    """Run the command of `sys.argv`: whatever goes wrong is one paragraph and an exit code."""
    set_environment()
    # Latin-1 lacks the dash of ranges
    getattr(sys.stdout, "reconfigure", lambda **_: None)(errors="backslashreplace")
    try:
        command()
    except SystemExit as ended:
        if ended.code == 128 + signal.SIGINT:  # Click's, of Ctrl-C
            sys.stderr.write("Stopped; run the same command to continue.\n")
        raise
    except Exception as error:
        from forecasting.errors import explained

        failure = explained(error)
        sys.stderr.write(f"{failure}\n")
        if sys.argv[1:2] == ["check"] and "--notify" in sys.argv:
            from forecasting.publish.messages import send_check

            send_check(failure)
        sys.exit(failure.exit_code)


if __name__ == "__main__":
    main()
