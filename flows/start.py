"""What the commands start: checks, then nights, through Prefect where a server is configured."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from datetime import date, datetime
from functools import partial
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from flows import clock
from flows.console import echo
from flows.progress import Work, watched_nights
from forecasting.conditions import Check
from forecasting.errors import ForecastingError, UsageError
from forecasting.night import plan
from forecasting.night.health import checked, night_checks, nothing_new
from forecasting.night.night import Night, RunOptions
from forecasting.night.run import Step
from forecasting.plain_text import quantity
from forecasting.publish import messages
from forecasting.publish.runs import published_step, run_here
from forecasting.report.units import full_day
from forecasting.settings import Settings, read_settings
from forecasting.settings_file import is_own
from forecasting.store import lock, migrate
from forecasting.store.connect import place
from forecasting.values import SCHEDULE
from forecasting.vocabulary import Mode


def settings_in_force() -> Settings:
    """Return the settings, and say on standard error if neither symbol nor source is set."""
    settings = read_settings()
    if settings.model_fields_set.isdisjoint({"symbols", "source"}):
        sys.stderr.write(
            "No symbol and no source is set, so these are SBUX and yahoo; `forecasting init "
            "--symbol SYMBOL --source SOURCE` sets them.\n"
        )
    return settings


@contextmanager
def checked_start(settings: Settings, options: RunOptions) -> Iterator[dict[str, date]]:
    """A block of checks, with each symbol's newest session; the ledger is created after it."""
    is_missing = migrate.is_missing(settings.url)
    try:
        if not is_missing:
            migrate.check_ready(settings.url)
        yield plan.check_options(settings, options, now=clock.now)
    except ForecastingError as error:
        # As of cron, where nobody reads it
        if not is_missing and not sys.stderr.isatty():
            messages.send_failed(settings, error)
        raise
    if is_missing:
        migrate.upgrade(settings.url)
        sys.stderr.write(f"Created the database {place(settings.url)}\n")


def start_night(*, as_of: date | None, mode: Mode, switch_source: bool) -> None:
    """Run the nights in this process; nothing is written where a check before them fails."""
    settings = settings_in_force()
    options = RunOptions(as_of, as_of, mode, switch_source=switch_source)
    if not start_run(settings, options):
        sys.stderr.write(f"{nothing_new(settings, options, now=clock.now)} No night was run.\n")


def start_catch_up(*, first: date | None, last: date | None, refit_every: int) -> str:
    """A sentence about the nights of a span, run in this process after the same checks."""
    settings = settings_in_force()
    options = RunOptions(first, last, refit_every=refit_every, trigger="catch-up")
    done = start_run(settings, options)
    names = ", ".join(settings.symbols)
    if not done:
        return f"{names}: {nothing_new(settings, options, now=clock.now)} No night was run."
    return f"{names}: {quantity(done, 'night')} completed."


def start_run(settings: Settings, options: RunOptions) -> int:
    """How many nights this process has done, through Prefect where a server is configured."""
    with checked_start(settings, options) as newest:
        through_prefect = reach_server()
    if options.last is None:
        early = plan.early_end(settings, newest, now=clock.now)
        sys.stderr.write(f"{early}\n" if early else "")
    with watched_nights() as work:
        if not through_prefect:

            def planned() -> list[Night]:
                nights = plan.planned_nights(settings, options, now=clock.now)
                work.total = len(nights)
                return nights

            ended = run_here(settings, planned, partial(watched_step, work), now=clock.now)
            return sum(night.is_done for night in ended)
        from flows.nightly import nightly

        done = nightly(
            first=options.first,
            last=options.last,
            mode=options.mode,
            refit_every=options.refit_every,
            switch_source=options.switch_source,
        )
    if isinstance(done, ForecastingError):  # that a bar is late
        raise done
    return len(done or [])


def watched_step(work: Work, step: Step, nights: list[Night]) -> list[Night]:
    """The nights after one of the five steps, which `work` shows."""
    work.step(nights, step)
    done = published_step(step, nights)
    if step == "evaluate":
        work.end(done)
    return done


def reach_server() -> bool:
    """Whether a run goes through Prefect: a server is configured, and it responds.

    One that does not respond loses no night, which runs without it.
    """
    if not has_server():
        return False
    try:
        load_server().check_server()
    except UsageError:  # as a wrong password: before there is a database
        raise
    except ForecastingError as error:
        sys.stderr.write(f"{error} The night runs without Prefect.\n")
        return False
    return True


def has_server() -> bool:
    """Whether a Prefect server is configured.

    Prefect, which takes a second to import, is asked only where the environment or a file may name
    one.
    """
    is_named = bool(os.environ.get("PREFECT_API_URL"))
    files = [Path(_profiles()), Path("prefect.toml"), Path(".env")]
    if not is_named and "prefect" not in sys.modules and not any(map(Path.is_file, files)):
        return False
    try:
        load_server()
    except UsageError as error:
        if is_named:
            raise
        sys.stderr.write(f"{error} The night runs without Prefect.\n")
        return False
    from prefect.settings import PREFECT_API_URL

    return PREFECT_API_URL.value() is not None


def load_server() -> ModuleType:
    """The module flows.server, with which Prefect is imported; a UsageError where settings stop it.

    Prefect takes settings from files of the working folder, code among them: none is another
    user's, as in /tmp.
    """
    names = (".env", "prefect.toml", "pyproject.toml")
    files = [Path(name).absolute() for name in names if Path(name).is_file()]
    foreign = [str(file) for file in files if not is_own(file)]
    if foreign:
        raise UsageError(
            "Expected settings of Prefect in files of this user or root, found "
            f"{', '.join(foreign)} of another user. Go to another folder; or, if you trust the "
            "content, make the file yours."
        )
    try:
        with redirect_stderr(io.StringIO()):  # in which it would quote a value that it refuses
            import prefect  # noqa: F401
        from flows import server
    except (OSError, ValueError) as error:
        raise UsageError(_refused(error, files)) from None
    return server


def _refused(error: OSError | ValueError, files: Sequence[Path]) -> str:
    """Why Prefect refuses a setting, and where it may be; no value, which may be a secret."""
    reason = str(error)
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    places = ", ".join(map(str, [_profiles(), *files]))
    return (
        f"Invalid setting of Prefect in its variables (PREFECT_...) or {places}: {reason}. Correct "
        "it; `prefect config view` quotes it."
    )


def _profiles() -> str:
    home = os.environ.get("PREFECT_HOME") or os.path.expanduser("~/.prefect")  # noqa: PTH111 - of a user without a home
    return os.environ.get("PREFECT_PROFILES_PATH") or f"{home}/profiles.toml"


def start_serving(*, mode: Mode, switch_source: bool) -> None:
    """Serve the nightly deployment on its schedule until stopped.

    Runs missed while this was down start first.
    """
    with ExitStack() as until_stopped:
        settings = settings_in_force()
        with checked_start(settings, RunOptions(mode=mode)):
            # Which makes the folder of PREFECT_HOME
            until_stopped.enter_context(lock.serve_lock(settings.data_dir))
            # Before Prefect is imported; the user's profiles hold
            if not os.environ.get("PREFECT_HOME"):
                os.environ.setdefault("PREFECT_PROFILES_PATH", _profiles())
                os.environ["PREFECT_HOME"] = str(settings.data_dir.absolute() / "prefect")
            server = load_server()
            start = next_start(settings)
            url = until_stopped.enter_context(server.ensure_server())
        subject = f"{', '.join(settings.symbols)} {', '.join(settings.targets)}"
        echo(
            f"{subject}: the next night starts on {full_day(start)} at {start:%H:%M %Z}. "
            f"FORECASTING_CRON is {settings.cron}, FORECASTING_TIMEZONE "
            f"{settings.timezone}. Prefect: {url.removesuffix('/api')}."
        )
        serve_nights(settings, {"mode": mode, "switch_source": switch_source})


def serve_nights(settings: Settings, given: Mapping[str, object]) -> None:
    """Take the runs of the nightly deployment until stopped."""
    from prefect.schedules import Cron

    from flows.nightly import nightly

    signal.signal(signal.SIGINT, stop)
    schedule = Cron(settings.cron, timezone=str(settings.timezone), slug="nightly")
    try:
        nightly.serve(
            "nightly",
            schedules=[schedule],
            parameters=dict(given),
            tags=["forecasting"],
            pause_on_shutdown=False,
            print_starting_message=False,
        )
    except ExceptionGroup as error:  # of Prefect, after some minutes
        raise ForecastingError(
            "Prefect's server responds no longer, and so `serve` has ended. Start it again; if it "
            "repeats, check the memory."
        ) from error


def next_start(settings: Settings) -> datetime:
    """When the schedule starts the next night; a UsageError for one that Prefect refuses."""
    from prefect.server.schemas.schedules import CronSchedule

    try:
        schedule = CronSchedule(cron=settings.cron, timezone=str(settings.timezone))
    except ValueError:
        raise UsageError(
            f"Invalid FORECASTING_CRON {settings.cron[:40]!r}: expected {SCHEDULE}."
        ) from None
    (start,) = asyncio.run(schedule.get_dates(1, clock.now()))
    return start


def stop(*_: object) -> None:
    """End `serve` at Ctrl-C as at SIGTERM: at a KeyboardInterrupt its runs would stay running."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would end it before its runs
    sys.stderr.write("Stopped; run the same command to continue.\n")
    signal.raise_signal(signal.SIGTERM)


def all_checks() -> list[Check]:
    """What a night needs, checked without a change."""
    settings = read_settings()
    checks = night_checks(settings, now=clock.now) | messages.message_checks(settings)
    return checked(checks | {"prefect": check_prefect})


def check_prefect() -> str:
    """What is found of Prefect's server; a ForecastingError where no scheduled night will start."""
    if not has_server():
        return "no server configured: `run` and `catch-up` need none, `serve` starts one"
    server = load_server()
    url = server.check_server()
    if server.is_idle():
        raise ForecastingError(
            f"The server {url} responds, and no process takes the runs of its deployment "
            "nightly/nightly. Start `forecasting serve`, or the worker of its work pool."
        )
    return f"server {url} responds"
