"""What became of the nights of a run."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from forecasting.errors import ForecastingError, NoBarError
from forecasting.pipeline.night_run import NightSpec
from forecasting.pipeline.night_shard import Finished
from forecasting.pipeline.run_row import note_failure
from forecasting.pipeline.without_bar import Continued, RunOf

logger = logging.getLogger("forecasting.night")


@dataclass
class Outcomes:
    """The results of the nights of a run.

    Attributes:
        done: Ids of the completed nights' rows in `runs`.
        failed: The symbols that failed, each with the oldest error that stopped it, as they happened.
        without_bar: The note of every night that continued without its bar, and of every past one that has none.
    """

    done: list[str] = field(default_factory=list)
    failed: list[tuple[str, ForecastingError]] = field(default_factory=list)
    without_bar: list[str] = field(default_factory=list)

    def add(self, one: Finished, run_of: RunOf) -> None:
        """Add a night that was run; a symbol's are added oldest first. An error that its row lacks is written there.

        A worker may have completed the night before it, or the scheduler, was lost: then the night is done.
        """
        if one.error is None or not (one.noted or note_failure(run_of(one.night), one.error)):
            self.done.append(one.run_id)
            return
        if isinstance(one.error, NoBarError):  # newer bars have come: nothing is left to do, and its row says so
            logger.warning("%s %s: %s", one.night.symbol, one.night.session, one.error)
            self.without_bar.append(str(one.error))
            return
        self.stop(one.night, one.error)

    def add_without_bar(self, left: Continued) -> None:
        """Add the nights that go on without a bar, and those that cannot."""
        self.without_bar.extend(left.notes)
        for night, error in left.failed:
            self.stop(night, error)

    def add_unanswered(self, left: Continued, run_of: RunOf) -> None:
        """Add the errors of requests without a response, unless another target or command stored the night's bar."""
        for night, error in left.unanswered:  # logged when the night went on
            if run_of(night).id not in self.done:
                self._fail(night, error)

    def stop(self, night: NightSpec, error: ForecastingError) -> None:
        """Log and add the error of a night."""
        logger.error("%s %s: %s", night.symbol, night.session, error)
        self._fail(night, error)

    def _fail(self, night: NightSpec, error: ForecastingError) -> None:
        if night.symbol not in dict(self.failed):
            self.failed.append((night.symbol, error))
