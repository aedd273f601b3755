"""Flow parameters as settings, and the names of flow runs."""

from datetime import date
from typing import Any

from prefect import runtime
from pydantic import ValidationError

from flows import clock
from forecasting.errors import UsageError
from forecasting.ingest.sources.permitted import check_permitted
from forecasting.pipeline.plan import newest_named
from forecasting.settings import Settings, read_settings


def narrowed(**given: Any) -> Settings:  # noqa: ANN401 - any value of a form; pydantic checks it
    """The settings in force, overridden by the given flow parameters; None keeps a setting.

    Raises:
        UsageError: A symbol or another value is not valid, or a file lies outside FORECASTING_FILES.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    current = read_settings()
    own = [current.source, *([current.events] if current.events else [])]
    for kind in ("source", "events"):
        if kind in chosen:
            check_permitted(chosen[kind], kind=kind, given=own, folders=current.file_folders)
    try:
        return Settings.model_validate({**dict(current), **chosen})
    except ValidationError as error:
        problems = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors(include_input=False))
        raise UsageError(f"Invalid flow parameter. {problems}.") from None


def night_run_name() -> str:
    """`nightly-SBUX-2024-03-08`: flow, symbols and session, for the list of runs."""
    given = runtime.flow_run.parameters
    settings = read_settings()
    symbols = given.get("symbols") or settings.symbols
    session: date | None = given.get("as_of") or given.get("last")
    session = session or _newest_named(symbols[0], given.get("source"))
    return f"{runtime.flow_run.flow_name}-{'+'.join(symbols[:3])}-{session}"


def _newest_named(symbol: str, source: str | None) -> date:
    """The session for the name; a parameter that is refused fails later, with its error, and is not read here."""
    try:
        settings = narrowed(source=source)
    except UsageError:
        settings = read_settings().model_copy(update={"source": "yahoo"})
    return newest_named(symbol, None, settings.for_symbol(symbol), now=clock.now)


def backtest_run_name() -> str:
    """`backtest-SBUX-2023-01-03-2023-12-29`."""
    given = runtime.flow_run.parameters
    symbol = given.get("symbol") or read_settings().symbols[0]
    return f"backtest-{symbol}-{given['first']}-{given['last']}"
