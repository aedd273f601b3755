from datetime import date
from threading import Event

from flows import clock, progress
from flows.progress import nights_bar, progress_bar, watched_nights
from forecasting.night.night import make_night
from forecasting.settings import Settings

NIGHTS = [make_night("AAA", date(2024, 3, day), Settings(), now=clock.now) for day in (7, 8)]


def test_nothing_is_written_within_a_minute_without_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar("refits") as advance, watched_nights():
        nights_bar().begun(NIGHTS)
        nights_bar().step(NIGHTS[:1], "train")
        advance(1, 2)
    assert capsys.readouterr() == ("", "")


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


def test_without_a_terminal_a_minute_has_a_line(capsys, monkeypatch):
    monkeypatch.setattr(progress, "Event", Minutes)
    with watched_nights() as bar:
        bar.begun(NIGHTS)
        bar.step(NIGHTS, "train")
        bar.end(NIGHTS[:1])
        Minutes.passed.set()
    assert capsys.readouterr().err == "1 of 2 nights done (50%)\n"
