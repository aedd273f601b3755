"""The options that commands share. Those of settings override the environment for this process."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecasting.errors import UsageError
from forecasting.plain_text import without_password
from forecasting.values import check_option, check_symbol, listed, parse_date

if TYPE_CHECKING:
    from forecasting.settings import Settings


def override(context: typer.Context, option: typer.CallbackParam, value: Any) -> Any:  # noqa: ANN401 - of any option
    """Set the variable of an option, for this process and its flows, and return its value."""
    name = str(option.name)
    texts = value if isinstance(value, list) else [value]
    # The option was not given.
    if value in (None, []):
        return value
    check_given(option, texts)
    if name in ("symbol", "symbols_file"):
        # The symbols of the file follow the named ones, whichever option comes first.
        given = context.meta.setdefault("forecasting.symbols", {})
        given[name] = value
        symbols = asked_symbols(given.get("symbol", []), given.get("symbols_file"))
        os.environ["FORECASTING_SYMBOLS"] = ",".join(symbols)
    else:
        setting = "TARGETS" if name == "target" else name.upper()
        os.environ[f"FORECASTING_{setting}"] = check_option(name, ",".join(texts))
    return value


def asked_symbols(named: Sequence[str], file: Path | None) -> list[str]:
    """Return the named symbols and then those of the file, without repetition.

    A named text may have several symbols with commas. The file has one symbol a line.
    """
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
    """Refuse an empty value, which would count as the default, and warn of a password."""
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


# The callback of each of these options sets a variable: the command itself does nothing with it.
Symbols = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol",
        metavar="SYMBOL",
        help="A symbol as Yahoo writes it; for several repeat the option, or use commas.",
        show_default="FORECASTING_SYMBOLS, else SBUX",
        callback=override,
    ),
]
SymbolsFile = Annotated[
    Path | None,
    typer.Option(
        "--symbols-file",
        metavar="PATH",
        help="A file with one symbol a line; # begins a comment.",
        callback=override,
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="volume, range, several with commas, or all.",
        show_default="FORECASTING_TARGETS, else volume",
        callback=override,
    ),
]
BarSource = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="SOURCE",
        help="yahoo, a .csv or .parquet file, sample or an installed NAME:ARGUMENT.",
        show_default="FORECASTING_SOURCE, else yahoo",
        callback=override,
    ),
]
Events = Annotated[
    str | None,
    typer.Option(
        "--events",
        metavar="PATH|yahoo",
        help="Earnings dates: a file (columns announced, timing, symbol), or yahoo.",
        show_default="FORECASTING_EVENTS, else the source's",
        callback=override,
    ),
]
Market = Annotated[
    str | None,
    typer.Option(
        "--market",
        metavar="SERIES",
        help=(
            "Index whose close is an input: a symbol of the source, a .csv or .parquet file, or "
            "none."
        ),
        show_default="FORECASTING_MARKET, else ^VIX of yahoo",
        callback=override,
    ),
]
CostRatio = Annotated[
    str | None,
    typer.Option(
        "--cost-ratio",
        metavar="RATIO",
        help=(
            "Cost of an overestimate per unit over an underestimate's; adds the cheapest quantile."
        ),
        show_default="FORECASTING_COST_RATIO, else none",
        callback=override,
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="SQLAlchemy URL without a password.",
        show_default="FORECASTING_DATABASE_URL, else a SQLite file",
        callback=override,
    ),
]

AsOf = Annotated[
    date | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        parser=parse_date,
        help="The newest session whose bar may be used, like 2024-03-08.",
        show_default="the newest completed one",
    ),
]
AsOfBars = Annotated[
    date | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        parser=parse_date,
        help="Bars as the night of DATE had them.",
        show_default="as they are now",
    ),
]
AsOfOrigin = Annotated[
    date | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        parser=parse_date,
        help="Origin session of the page, like 2024-03-08.",
        show_default="the newest origin that has a forecast",
    ),
]
Shares = Annotated[
    str | None,
    typer.Option("--shares", metavar="NUMBER", help="Shares of the order, like 3e6."),
]
Orders = Annotated[
    str | None,
    typer.Option(
        "--orders", metavar="FILE", help="A book, CSV: columns symbol, shares or qty, max."
    ),
]
Participation = Annotated[
    str,
    typer.Option("--participation", metavar="SHARE", help="Share of each session's volume."),
]
By = Annotated[
    date | None,
    typer.Option(
        "--by",
        metavar="DATE",
        parser=parse_date,
        help="Session by which the order is to be done, one of the next twenty.",
    ),
]
Chance = Annotated[
    str,
    typer.Option(
        "--chance", metavar="SHARE", help="Chance with which the order is to be done in time."
    ),
]
First = Annotated[
    date | None,
    typer.Option(
        "--from",
        metavar="DATE",
        parser=parse_date,
        help="Oldest session.",
        show_default="the oldest",
    ),
]
Last = Annotated[
    date | None,
    typer.Option(
        "--to", metavar="DATE", parser=parse_date, help="Newest session.", show_default="the newest"
    ),
]
FirstOrigin = Annotated[
    date | None,
    typer.Option(
        "--from",
        metavar="DATE",
        parser=parse_date,
        help="First origin session.",
        show_default="250 sessions before the last",
    ),
]
LastOrigin = Annotated[
    date | None,
    typer.Option(
        "--to",
        metavar="DATE",
        parser=parse_date,
        help="Last origin session.",
        show_default="the newest",
    ),
]
ModeOption = Annotated[
    str, typer.Option("--mode", metavar="MODE", help="auto, scratch, warm or skip.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="PATH", help="Path of the file to write.")
]
OutNeeded = Annotated[
    Path, typer.Option("--out", metavar="PATH", help="Path of the file to write.")
]
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
