"""What a form or a schedule of Prefect gives a flow: settings over those in force, and its name."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forecasting.errors import ForecastingError, UsageError
from forecasting.plain_text import plain_text, short_list
from forecasting.sessions import last_completed
from forecasting.settings import Settings, read_settings
from forecasting.values import with_kind
from forecasting.vocabulary import Clock

LONGEST_NAME = 100  # Characters of a run's name, which has symbols that nothing has checked yet


def narrowed(**given: Any) -> Settings:  # noqa: ANN401 - any value of a form; pydantic checks it
    """The settings in force, overridden by flow parameters that are valid and permitted.

    None keeps a setting.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    current = read_settings()
    own = [option for option in (current.source, current.events, current.market) if option]
    folders = current.files or (current.data_dir.absolute() / "sources",)
    for kind in ("source", "events", "market"):
        if kind in chosen:
            check_permitted(chosen[kind], kind=kind, given=own, folders=folders)
    try:
        return Settings.model_validate({**dict(current), **chosen})
    except ValidationError as error:
        problems = "; ".join(
            f"{problem['loc'][0]}: {problem['msg']}"
            for problem in error.errors(include_input=False)
        )
        raise UsageError(f"Invalid flow parameter. {problems}.") from None


def check_permitted(text: str, *, kind: str, given: Sequence[str], folders: Sequence[Path]) -> None:
    """Raise a UsageError for a source or file that the environment does not permit a flow.

    Permitted are names without an argument, the options `given` by the environment, and files in
    one of the folders, symbolic links followed. The error is the same whether the file exists or
    not.
    """
    text = with_kind(text)
    name, _, argument = text.partition(":")
    is_file = name in ("csv", "parquet")
    resolved = Path()
    with suppress(OSError, RuntimeError, ValueError):  # too long, a circle of links, a NUL in it
        resolved = Path(argument).resolve()
    is_inside = is_file and any(resolved.is_relative_to(folder.resolve()) for folder in folders)
    if text in given or not argument or is_inside:
        return
    allowed = ", ".join(str(folder) for folder in folders)
    what = "a file outside them" if is_file else "an argument that FORECASTING_SOURCE does not have"
    raise UsageError(
        f"Expected the flow parameter {kind} to name what FORECASTING_{kind.upper()} names, a "
        f"source without an argument, or a file inside FORECASTING_FILES ({allowed}); found "
        f"{what}. Move the file there, add its folder to FORECASTING_FILES, or use the command "
        "line."
    )


def subject_of(given: Mapping[str, Any]) -> tuple[str, str]:
    """Symbols and targets of a run from its parameters, else from the settings."""
    settings = read_settings()
    of_backtest = [given["symbol"] or settings.symbol] if "symbol" in given else None
    symbols = of_backtest or given.get("symbols") or settings.symbols
    target = given.get("target") or settings.targets
    targets = target if isinstance(target, str) else short_list(target)
    return plain_text(short_list(symbols), limit=LONGEST_NAME), targets


def run_name(flow: str, given: Mapping[str, Any], *, now: Clock) -> str:
    """A run's name in Prefect's list, as `nightly-SBUX-volume-2024-03-08`.

    Without a span its session is the newest completed one of the first symbol.
    """
    days = [given.get("first"), given.get("last")]
    named = dict.fromkeys(day for day in days if day) or [_newest_completed(given, now=now)]
    return plain_text("-".join([flow, *subject_of(given), *map(str, named)]), limit=LONGEST_NAME)


def _newest_completed(given: Mapping[str, Any], *, now: Clock) -> date:
    """The newest completed session of the first symbol of a run; the day without a calendar."""
    settings = read_settings()
    first, *_ = given.get("symbols") or settings.symbols
    try:
        return last_completed(now(), settings.exchange_of(given.get("symbol") or first))
    except ForecastingError:  # the run says so
        return now().date()
