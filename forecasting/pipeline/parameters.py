"""What a night or a backtest was asked for, over the settings in force: values of a form or of a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from forecasting.errors import ForecastingError, UsageError
from forecasting.pipeline.plan import newest_session
from forecasting.pipeline.symbols import joined
from forecasting.plain_text import plain_text
from forecasting.sessions import last_completed
from forecasting.settings import Settings, read_settings
from forecasting.vocabulary import Clock

LONGEST_NAME = 100
"""Characters of a run's name, which has symbols that nothing has checked yet."""


def narrowed(**given: Any) -> Settings:  # noqa: ANN401 - any value of a form; pydantic checks it
    """The settings in force, overridden by the given parameters; None keeps a setting.

    Raises:
        UsageError: A symbol or another value is not valid, or a file lies outside FORECASTING_FILES.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    current = read_settings()
    own = [option for option in (current.source, current.events, current.market) if option]
    for kind in ("source", "events", "market"):
        if kind in chosen:
            check_permitted(chosen[kind], kind=kind, given=own, folders=current.file_folders)
    try:
        return Settings.model_validate({**dict(current), **chosen})
    except ValidationError as error:
        problems = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors(include_input=False))
        raise UsageError(f"Invalid flow parameter. {problems}.") from None


def check_permitted(
    text: str, *, kind: Literal["source", "events", "market"], given: Sequence[str], folders: Sequence[Path]
) -> None:
    """Return when a flow parameter names a source or a file that the environment permits.

    A name without an argument is permitted (yahoo, sample, an installed one, ^VIX), and each option in `given`. A file
    must lie in one of the folders, symbolic links followed. The error is the same whether the file exists or not.

    Args:
        text: The parameter.
        kind: Its name.
        given: FORECASTING_SOURCE, FORECASTING_EVENTS and FORECASTING_MARKET as the environment has them.
        folders: FORECASTING_FILES.

    Raises:
        UsageError: Any other source or file.
    """
    name, _, argument = text.partition(":")
    is_file = name in ("csv", "parquet")
    if text in given or not argument or (is_file and any(_lies_in(Path(argument), folder) for folder in folders)):
        return
    allowed = ", ".join(str(folder) for folder in folders)
    what = "a file outside them" if is_file else "an argument that FORECASTING_SOURCE does not have"
    raise UsageError(
        f"Expected the flow parameter {kind} to name what FORECASTING_{kind.upper()} names, a source without an "
        f"argument, or a file inside FORECASTING_FILES ({allowed}); found {what}. Move the file there, add its folder "
        "to FORECASTING_FILES, or use the command line."
    )


def _lies_in(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # too long, a circle of links, a NUL in it
        return False


def night_name(flow: str, given: Mapping[str, Any], *, now: Clock) -> str:
    """`nightly-SBUX-volume-2024-03-08`: flow, symbols, target and newest session, for the list of runs.

    Args:
        flow: The flow's name.
        given: Its parameters.
        now: The clock.
    """
    settings = read_settings()
    symbols, target = given.get("symbols") or settings.symbols, given.get("target") or settings.target
    unattended = bool(given.get("patient"))
    session = given.get("as_of") or given.get("last")
    session = session or newest_named(symbols[0], given.get("source"), now=now, unattended=unattended)
    return plain_text(f"{flow}-{joined(symbols)}-{target}-{session}", limit=LONGEST_NAME)


def subject_of(given: Mapping[str, Any]) -> tuple[str, str]:
    """Symbols and target of a run from its parameters, else from the settings, for a message about it."""
    settings = read_settings()
    of_backtest = [given["symbol"] or settings.symbols[0]] if "symbol" in given else None
    symbols = of_backtest or given.get("symbols") or settings.symbols
    return plain_text(joined(symbols), limit=LONGEST_NAME), given.get("target") or settings.target


def backtest_name(given: Mapping[str, Any]) -> str:
    """`backtest-SBUX-volume-2023-01-03-2023-12-29`, from the parameters of a backtest."""
    settings = read_settings()
    symbol, target = given.get("symbol") or settings.symbols[0], given.get("target") or settings.target
    return plain_text(f"backtest-{symbol}-{target}-{given['first']}-{given['last']}", limit=LONGEST_NAME)


def newest_named(symbol: str, source: str | None, *, now: Clock, unattended: bool = False) -> date:
    """The session a night without as_of will end with, for its name.

    A source that is refused or broken fails later, with its error; here it is not read, or counts as one without rows.
    So does a symbol whose exchange has no calendar; the run, which may have others, is named after the day.
    """
    try:
        settings = narrowed(source=source).for_symbol(symbol)
    except UsageError:
        settings = read_settings().model_copy(update={"source": "yahoo"}).for_symbol(symbol)
    try:
        completed = last_completed(now(), settings.exchange)
    except UsageError:
        return now().date()
    try:
        return newest_session(symbol, settings, now=now, unattended=unattended)
    except ForecastingError:
        return completed
