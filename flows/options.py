"""The options that commands share; they override the environment for this process."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from forecasting.errors import UsageError
from forecasting.plain_text import without_password
from forecasting.values import check_option, check_symbol, listed, parse_date

if TYPE_CHECKING:
    from forecasting.settings import Settings


def override(context: typer.Context, option: typer.CallbackParam, value: Any) -> Any:  # noqa: ANN401 - of any option
    """The value of an option, which overrides its variable for this process and its flows."""
    name = str(option.name)
    texts = value if isinstance(value, list) else [value]
    if value in (None, []):  # it was not given
        return value
    check_given(option, texts)
    if name in ("symbol", "symbols_file"):
        # In either order, those of the file after those named
        given = context.meta.setdefault("forecasting.symbols", {})
        given[name] = value
        symbols = asked_symbols(given.get("symbol", []), given.get("symbols_file"))
        os.environ["FORECASTING_SYMBOLS"] = ",".join(symbols)
    else:
        setting = "TARGETS" if name == "target" else name.upper()
        os.environ[f"FORECASTING_{setting}"] = check_option(name, ",".join(texts))
    return value


def asked_symbols(named: Sequence[str], file: Path | None) -> list[str]:
    """The symbols, each once: those named, by commas or not, then the file's, one a line."""
    symbols = [check_symbol(symbol) for text in named for symbol in listed(text)]
    if file is not None:
        symbols += _symbols_of(file)
    return list(dict.fromkeys(symbols))


def _symbols_of(file: Path) -> list[str]:
    option = f"--symbols-file {str(file)[-200:]}"
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise UsageError(
            f"Expected a text file with one symbol a line in {option}; found: {found}. Name "
            "another file."
        ) from None
    symbols = []
    for place, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        try:
            symbols += [check_symbol(text)] if text else []
        except UsageError as error:
            raise UsageError(f"{option}, line {place}: {error}") from None
    if not symbols:
        raise UsageError(f"Expected one symbol a line in {option}; found none.")
    return symbols


def check_given(option: typer.CallbackParam, texts: list[object]) -> None:
    """Refuse an empty value, which would count as the default; warn of a password."""
    if not all(str(text).strip() for text in texts):
        raise UsageError(
            f"Expected a value after {option.opts[0]}, found an empty text. Leave the option out "
            "for its default, or check the variable that it comes from."
        )
    if option.name == "database_url" and without_password(str(texts[0])) != texts[0]:
        sys.stderr.write(
            "Warning: --database-url contains a password, which every user of this machine can "
            "read in `ps`. Put the URL into FORECASTING_DATABASE_URL, or a file of "
            "FORECASTING_SECRETS_DIR; change the password.\n"
        )


def _option(
    name: str,
    metavar: str,
    text: str,
    default: str | bool = False,
    *,
    callback: Any = None,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """An option; its default in words, False to hide it, True to show the real one."""
    return typer.Option(name, metavar=metavar, help=text, show_default=default, callback=callback)


def _day(name: str, text: str, default: str | bool = False) -> Any:  # noqa: ANN401
    """The option of a day."""
    return typer.Option(name, metavar="DATE", parser=parse_date, help=text, show_default=default)


# It overrides a variable: a command does nothing with it
_setting = partial(_option, callback=override)

_SOURCE = "yahoo, a .csv or .parquet file, sample or an installed NAME:ARGUMENT."


def of_settings(  # noqa: PLR0913 - each is an option
    symbol: Annotated[
        list[str] | None,
        _setting(
            "--symbol",
            "SYMBOL",
            "A symbol as Yahoo writes it; for several repeat the option, or use commas.",
            "FORECASTING_SYMBOLS, else SBUX",
        ),
    ] = None,
    symbols_file: Annotated[
        Path | None, _setting("--symbols-file", "PATH", "A symbol a line; # begins a comment.")
    ] = None,
    target: Annotated[
        list[str] | None,
        _setting(
            "--target",
            "TARGET",
            "volume, range, several with commas, or all.",
            "FORECASTING_TARGETS, else volume",
        ),
    ] = None,
    source: Annotated[
        str | None, _setting("--source", "SOURCE", _SOURCE, "FORECASTING_SOURCE, else yahoo")
    ] = None,
    events: Annotated[
        str | None,
        _setting(
            "--events",
            "PATH|yahoo",
            "Earnings dates: a file (columns announced, timing, symbol), or yahoo.",
            "FORECASTING_EVENTS, else the source's",
        ),
    ] = None,
    market: Annotated[
        str | None,
        _setting(
            "--market",
            "SERIES",
            "Index whose close is an input: a symbol of the source, a .csv or .parquet file, or "
            "none.",
            "FORECASTING_MARKET, else ^VIX of yahoo",
        ),
    ] = None,
    cost_ratio: Annotated[
        str | None,
        _setting(
            "--cost-ratio",
            "RATIO",
            "Cost of an overestimate per unit over an underestimate's; adds the cheapest quantile.",
            "FORECASTING_COST_RATIO, else none",
        ),
    ] = None,
    database_url: Annotated[
        str | None,
        _setting(
            "--database-url",
            "URL",
            "SQLAlchemy URL without a password.",
            "FORECASTING_DATABASE_URL, else a SQLite file",
        ),
    ] = None,
) -> None:
    """The options that override a setting.

    A command has those that TAKES names, and is called without them.
    """


_SYMBOLS_OF = ("symbol", "symbols_file")
_INPUTS = ("source", "events", "market")
_LEDGER = ("database_url",)
_SERIES = (*_SYMBOLS_OF, "target")
TAKES = {
    "init": (*_SERIES, *_INPUTS),
    "show": (*_SERIES, "cost_ratio", *_LEDGER),
    "order": ("symbol", *_LEDGER),
    **dict.fromkeys(
        ("run", "serve", "catch_up", "backtest", "doctor"), (*_SERIES, *_INPUTS, *_LEDGER)
    ),
    **dict.fromkeys(
        ("digest", "report", "check", "export", "verify", "models_list"), (*_SERIES, *_LEDGER)
    ),
    **dict.fromkeys(
        ("mcp", "models_show", "models_withdraw", "db_upgrade", "db_downgrade"), _LEDGER
    ),
}
"""The options of `of_settings` of each command, by the name of its function."""


class Commands(TyperGroup):
    """Commands with the options that TAKES gives them."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - of Typer
        super().__init__(**attributes)
        declared = typer.Typer()
        declared.command()(of_settings)
        options = {option.name: option for option in typer.main.get_command(declared).params}
        for option in options.values():
            option.expose_value = False
        for command in self.commands.values():
            taken = TAKES.get(getattr(command.callback, "__name__", ""), ())
            command.params = [*(options[name] for name in taken), *command.params]


AsOf = Annotated[
    date | None,
    _day(
        "--as-of",
        "The newest session whose bar may be used, like 2024-03-08.",
        "the newest completed one",
    ),
]
AsOfBars = Annotated[
    date | None, _day("--as-of", "Bars as the night of DATE had them.", "as they are now")
]
AsOfOrigin = Annotated[
    date | None,
    _day(
        "--as-of",
        "Origin session of the page, like 2024-03-08.",
        "the newest origin that has a forecast",
    ),
]
Shares = Annotated[str | None, _option("--shares", "NUMBER", "Shares of the order, like 3e6.")]
Orders = Annotated[
    str | None, _option("--orders", "FILE", "A book, CSV: columns symbol, shares or qty, max.")
]
Participation = Annotated[
    str, _option("--participation", "SHARE", "Share of each session's volume.", True)
]
By = Annotated[
    date | None, _day("--by", "Session by which it is to be done, one of the next twenty.")
]
Chance = Annotated[str, _option("--chance", "SHARE", "With which it is to be done.", True)]
First = Annotated[date | None, _day("--from", "Oldest session.", "the oldest")]
Last = Annotated[date | None, _day("--to", "Newest session.", "the newest")]
FirstOrigin = Annotated[
    date | None, _day("--from", "First origin session.", "250 sessions before the last")
]
LastOrigin = Annotated[date | None, _day("--to", "Last origin session.", "the newest")]
ModeOption = Annotated[str, _option("--mode", "MODE", "auto, scratch, warm or skip.", True)]
_OUT = _option("--out", "PATH", "Path of the file to write.", True)
Out = Annotated[Path | None, _OUT]
OutNeeded = Annotated[Path, _OUT]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Why = Annotated[bool, typer.Option("--why", help="Print every factor of each forecast.")]
Switch = Annotated[
    bool,
    typer.Option(
        "--switch-source",
        help="Accept bars of another source, or another history, for a known symbol.",
    ),
]


def quieten_nights() -> None:
    """Keep log lines of nights off the terminal unless configured.

    An error is printed once, when the command ends, but for an unexpected one's traceback.
    """
    # Else Python itself prints warnings
    logging.getLogger("forecasting").addHandler(logging.NullHandler())
    # But for a message that was not sent, which is in no table, and for tracebacks.
    for name in ("forecasting.notify", "forecasting.errors"):
        logging.getLogger(name).addHandler(logging.lastResort or logging.NullHandler())
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


def settings() -> Settings:
    """The settings in force; an invalid one raises with the field's name."""
    from forecasting.settings import read_settings

    return read_settings()
