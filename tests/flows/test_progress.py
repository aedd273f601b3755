import re
from datetime import date
from threading import Event

from flows import clock, progress
from flows.progress import watched_nights
from forecasting.night.night import Night
from forecasting.settings import Settings

NIGHTS = [Night(date(2024, 3, day), Settings().for_symbol("AAA"), clock.now) for day in (7, 8)]


class Minutes(Event):
    """The first minute passes when the test says so, and no second one."""

    passed = Event()
    count = 0

    def wait(self, timeout=None):
        self.count += 1
        if self.count > 1:
            return super().wait()
        self.passed.wait()
        return False


def test_without_a_terminal_a_minute_has_a_line_with_what_is_done_and_the_time_left(
    capsys, monkeypatch
):
    monkeypatch.setattr(progress, "Event", Minutes)
    with watched_nights() as work:
        work.total = 2
        work.end(NIGHTS[:1])
        work.step(NIGHTS, "train")
        Minutes.passed.set()
    line = capsys.readouterr().err
    assert re.match(r"1 of 2 nights, [\d.]+ a second, \d+:\d\d:\d\d left \(", line)
    assert "AAA 2024-03-07 and 1 more: train" in line
