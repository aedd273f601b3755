"""Mornings of one small symbol, each a scheduled night: here, or in a process that is killed at one of its boundaries.

The processes are forked from one that has everything imported. A boundary is the moment before a statement, which is
after the one before it, and before or after a commit: whatever a kill can fall between, seen from the database.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
import sqlalchemy as sa
from threadpoolctl import threadpool_limits

from flows import clock, nightly
from forecasting.ingest import bars as _bars  # noqa: F401 - imported before the fork, so that no night pays for it
from forecasting.sessions import calendar, closes_at
from forecasting.train import fit as _fit  # noqa: F401 - as above
from tests.builders import random_bars, write_yahoo_csv
from tests.faults.forks import fork
from tests.plain_flows import without_prefect

SYMBOL = "TEST"
calendar("XNYS")  # likewise: building it takes a third of a night


@dataclass(frozen=True)
class Morning:
    """One start of the schedule.

    Attributes:
        session: The newest session that has closed.
        restated: Sessions whose volume the vendor has meanwhile raised by half.
    """

    session: date
    restated: tuple[date, ...] = ()

    def moment(self, attempt: int) -> datetime:
        """When it starts: ten in the morning New York is near, a second attempt ten minutes after the first."""
        return closes_at(self.session) + timedelta(hours=13, minutes=10 * attempt)


MORNINGS = (
    Morning(date(2024, 2, 26)),  # the first night of all: a fit from scratch, promoted
    Morning(date(2024, 2, 27)),  # warm; the first scores
    Morning(date(2024, 2, 28)),  # a day of earnings, after the close
    Morning(date(2024, 2, 29), (date(2024, 2, 27),)),  # a bar restated, and scored again
    Morning(date(2024, 3, 5), (date(2024, 2, 27),)),  # two sessions missed: three nights in one run, weights pruned
)


def environment(folder: Path, url: str) -> dict[str, str]:
    """Settings of small nights that reach all of it: five nights' weights stay."""
    return {
        "FORECASTING_DATA_DIR": str(folder / "data"),
        "FORECASTING_DATABASE_URL": url,
        "FORECASTING_SOURCE": f"csv:{folder / f'{SYMBOL}.csv'}",
        "FORECASTING_EVENTS": f"csv:{folder / 'events.csv'}",
        "FORECASTING_SYMBOLS": SYMBOL,
        "FORECASTING_MEMBERS": "1",
        "FORECASTING_TRAIN_SESSIONS": "300",
        "FORECASTING_KEEP_ARTIFACTS": "5",
        "OMP_NUM_THREADS": "1",
    }


def write_sources(folder: Path, morning: Morning) -> None:
    """The vendor's file as of a morning, and the earnings dates."""
    bars = random_bars(days=560, seed=3, last=MORNINGS[-1].session)
    bars.loc[[pd.Timestamp(day) for day in morning.restated], "volume"] *= 1.5
    write_yahoo_csv(bars.loc[: pd.Timestamp(morning.session)].round({"volume": 0}), folder / f"{SYMBOL}.csv")
    (folder / "events.csv").write_text(
        "announced,timing\n2023-08-01,amc\n2023-11-02,amc\n2024-02-28,amc\n2024-05-01,amc\n"
    )


def run_morning(settings: dict[str, str], moment: datetime, kill_at: int | None = None) -> int:
    """The scheduled night in this process, without Prefect's engine around it; the number of boundaries it passed.

    The process ends by SIGKILL at the `kill_at`-th of them.
    """
    with (
        mock.patch.dict(os.environ, settings),
        mock.patch.object(clock, "now", lambda: moment),
        pytest.MonkeyPatch.context() as patch,
        threadpool_limits(1),
        counted(kill_at) as passed,
    ):
        without_prefect(patch.setattr)
        nightly.nightly()
        return passed()


@contextmanager
def counted(kill_at: int | None) -> Iterator[Callable[[], int]]:
    """Within the block every boundary is counted, and the `kill_at`-th ends this process; the count so far."""
    passed = 0

    def boundary(*_: object) -> None:
        nonlocal passed
        passed += 1
        if passed == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    committed = sa.engine.default.DefaultDialect.do_commit

    def commit(self: Any, connection: Any) -> None:
        committed(self, connection)
        boundary()

    moments = ("before_cursor_execute", "commit")
    for moment in moments:
        sa.event.listen(sa.Engine, moment, boundary)
    try:
        with mock.patch.object(sa.engine.default.DefaultDialect, "do_commit", commit):  # there is no event after one
            yield lambda: passed
    finally:
        for moment in moments:
            sa.event.remove(sa.Engine, moment, boundary)


def in_a_process(
    settings: dict[str, str], moment: datetime, kill_at: int | None = None, *, kill_after_s: float | None = None
) -> int:
    """The exit code of a morning in a process of its own: 0, or minus the signal that ended it.

    Killed at boundary `kill_at`, or `kill_after_s` seconds after its start, whatever it is doing then.
    """
    process = fork(run_morning, settings, moment, kill_at)
    process.join(kill_after_s)
    if process.is_alive():
        process.kill()
        process.join()
    code = process.exitcode
    assert code is not None
    return code
