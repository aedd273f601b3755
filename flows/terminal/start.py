"""What the commands start: checks that need no flow, then the flow in this process."""

import json
from datetime import date
from pathlib import Path
from typing import Any

from flows import clock
from flows.progress import progress_bar, watched_nights
from forecasting.article.experiment import ArticleResult
from forecasting.backtest.walk_forward import BacktestSpec
from forecasting.pipeline import plan
from forecasting.pipeline.backtest import article_experiment, walk_forward
from forecasting.pipeline.output_file import check_writable
from forecasting.report.article_page import render_article
from forecasting.settings import read_settings
from forecasting.store import migrate
from forecasting.vocabulary import Mode


def start_night(*, as_of: date | None, mode: Mode, switch_source: bool) -> None:
    """Run the flow in this process, after the checks that need no flow.

    Raises:
        ForecastingError: A check or the flow failed; nothing is written when a check fails.
    """
    from flows.nightly import nightly
    from flows.operations.server import run_server

    plan.check_nights(read_settings(), as_of=as_of, mode=mode, now=clock.now)
    with watched_nights(), run_server():
        nightly(as_of=as_of, mode=mode, switch_source=switch_source)


def start_catch_up(*, first: date | None, last: date | None, refit_every: int) -> str:
    """Run the flow in this process, after the checks that need no flow; a sentence about the result.

    Raises:
        ForecastingError: A check or the flow failed; nothing is written when a check fails.
    """
    from flows.catch_up import catch_up
    from flows.operations.server import run_server

    settings = read_settings()
    first, last = plan.checked_span(settings, first, last, now=clock.now)
    with watched_nights(), run_server():
        done: list[str] = catch_up(first, last, refit_every=refit_every) or []
    return f"{', '.join(settings.symbols)}: {len(done)} sessions completed between {first} and {last}."


def start_backtest(spec: BacktestSpec, *, store: bool, out: Path | None) -> dict[str, Any]:
    """The result document of a walk-forward backtest; written to `out` too.

    Raises:
        UsageError: `out` cannot be written; raised before the backtest begins.
    """
    if out is not None:
        check_writable(out)
    document = walk_forward(spec, store=store, now=clock.now, bar=progress_bar)
    if out is not None:
        out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return document


def start_article(out: Path, *, as_of: date | None, seed: int) -> ArticleResult:
    """The article's experiment on the newest rows of the source, its page written to `out`."""
    check_writable(out)
    result = article_experiment(read_settings(), as_of=as_of, seed=seed, now=clock.now, bar=progress_bar)
    out.write_text(render_article(result), encoding="utf-8")
    return result


def start_serving() -> None:
    """Serve the nightly deployment on its schedule; runs missed while this was down start first."""
    from prefect.schedules import Cron

    from flows.nightly import nightly
    from flows.operations.crashed_runs import restart_crashed_runs
    from flows.operations.server import ensure_server

    settings = read_settings()
    migrate.check_ready(settings.url)
    with ensure_server():
        restart_crashed_runs()
        nightly.serve(
            name="nightly",
            schedule=Cron(settings.cron, timezone=settings.timezone, slug="nightly"),
            parameters={"patient": True},
            tags=["forecasting"],
            description="Forecast the next five sessions, score closed ones.",
            pause_on_shutdown=False,
            limit=1,
        )
