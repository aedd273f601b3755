"""The options that commands share; they override the environment for this process."""

from __future__ import annotations

import os
import re
import sys
from datetime import date
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from forecasting.settings import Settings
    from forecasting.vocabulary import Mode

_PASSWORD = re.compile(r"://[^:/@]*:[^@]+@|[?&](ssl)?password=.", re.IGNORECASE)

Symbols = Annotated[
    list[str] | None,
    typer.Option("--symbol", help="A symbol as Yahoo writes it; repeat for several.", show_default=False),
]
Symbol = Annotated[str | None, typer.Option("--symbol", help="A symbol as Yahoo writes it.", show_default=False)]
TargetOption = Annotated[str | None, typer.Option("--target", help="volume, close or range.", show_default=False)]
SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source", help="yahoo, csv:PATH, parquet:PATH, sample or an installed NAME:ARGUMENT.", show_default=False
    ),
]
EventsOption = Annotated[
    str | None,
    typer.Option("--events", help="Earnings dates as csv:PATH (columns announced, timing).", show_default=False),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="The newest session whose bar may be used, like 2024-03-08.", show_default=False),
]
ModeOption = Annotated[str, typer.Option("--mode", help="auto, scratch, warm or skip.")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help="SQLAlchemy URL without a password; else FORECASTING_DATABASE_URL or _URL_FILE, else a SQLite file.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Switch = Annotated[
    bool, typer.Option("--switch-source", help="Accept bars of another source, or another history, for a known symbol.")
]


def use(*, symbols: list[str] | None = None, **options: str | None) -> None:
    """Let this command's options override the environment, for this process and the flows it starts.

    A password in --database-url is warned about: every user of this machine can read a command line, in `ps`.
    """
    if (url := options.get("database_url")) is not None:
        os.environ.pop("FORECASTING_DATABASE_URL_FILE", None)
        if _PASSWORD.search(url):
            sys.stderr.write(
                "Warning: --database-url contains a password, which every user of this machine can read in `ps`. Put "
                "the URL into FORECASTING_DATABASE_URL, or into a file that FORECASTING_DATABASE_URL_FILE names, and "
                "change the password.\n"
            )
    if symbols:
        os.environ["FORECASTING_SYMBOLS"] = ",".join(symbols)
    for name, value in options.items():
        if value is not None:
            os.environ[f"FORECASTING_{name.upper()}"] = value


def warn_of_secret(context: typer.Context, name: str) -> None:
    """Warn on stderr when an option that holds a secret was given on the command line, not in its variable."""
    source = context.get_parameter_source(name)
    if source is not None and source.name == "COMMANDLINE":
        sys.stderr.write(
            f"Warning: --{name} may contain a secret, which every user of this machine can read in `ps` while this "
            f"runs. FORECASTING_ALARM_{name.upper()} keeps it out of there.\n"
        )


def quieten_prefect() -> None:
    """Keep Prefect's log lines below ERROR off the terminal unless configured; its UI still has every line."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "ERROR")
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "forecasting")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # Prefect gives its temporary server 20 s; on a busy machine it took 40, and the night ended in a stack trace.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")


def settings() -> Settings:
    """The settings in force; an invalid one raises with the field's name."""
    from forecasting.settings import read_settings

    return read_settings()


def parse(text: str | None) -> date | None:
    """The date named by an option, or None where it was not given."""
    return required(text) if text is not None else None


def required(text: str) -> date:
    """The date named by an option."""
    from forecasting.settings import parse_date

    return parse_date(text)


def checked_mode(text: str) -> Mode:
    """One of the four modes.

    Raises:
        UsageError: Anything else.
    """
    from forecasting.errors import UsageError

    if text not in ("auto", "scratch", "warm", "skip"):
        raise UsageError(f"Invalid --mode {text!r}: expected auto, scratch, warm or skip.")
    return cast("Mode", text)
