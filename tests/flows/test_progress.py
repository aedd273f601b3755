import sys
from datetime import date
from io import StringIO

from flows import clock
from flows.progress import nights_bar, progress_bar, watched_nights
from forecasting.night.night import make_night
from forecasting.settings import Settings

NIGHTS = [make_night("AAA", date(2024, 3, day), Settings(), now=clock.now) for day in (7, 8)]
ERASED = "\r\x1b[2K"
"""What rich writes before it draws a row anew: the bar drawn before is erased."""


class Terminal(StringIO):
    def isatty(self):
        return True


def a_terminal(monkeypatch):
    """Standard error as a terminal of 100 columns without colours.

    Called in a test, since pytest puts its own back.
    """
    for name, value in {"TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    watched = Terminal()
    monkeypatch.setattr(sys, "stderr", watched)
    return watched


def test_nothing_is_written_without_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar("refits") as advance, watched_nights():
        nights_bar().begun(NIGHTS)
        nights_bar().step(NIGHTS[:1], "train")
        advance(1, 2)
    assert capsys.readouterr() == ("", "")


def test_the_bar_names_the_step_and_moves_with_each_night_that_ends(monkeypatch):
    terminal = a_terminal(monkeypatch)

    def check(words, share):
        last = terminal.getvalue().rsplit(ERASED, 1)[-1]
        assert (last.startswith(words), share in last) == (True, True), last

    with watched_nights():
        nights_bar().begun(NIGHTS)
        nights_bar().step(NIGHTS, "ingest")
        check("AAA 2024-03-07 and 1 more: ingest", "0%")
        nights_bar().end(NIGHTS[:1])
        check("1 of 2 nights done", "50%")
        nights_bar().step(NIGHTS[1:], "train")
        check("AAA 2024-03-08: train", "50%")
        nights_bar().end(NIGHTS[1:])
        check("2 of 2 nights done", "100%")
