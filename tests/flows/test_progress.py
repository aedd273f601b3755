from datetime import date

from flows import clock
from flows.progress import nights_bar, progress_bar, watched_nights
from forecasting.night.night import make_night
from forecasting.settings import Settings

NIGHTS = [make_night("AAA", date(2024, 3, day), Settings(), now=clock.now) for day in (7, 8)]


def test_nothing_is_written_without_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar("refits") as advance, watched_nights():
        nights_bar().begun(NIGHTS)
        nights_bar().step(NIGHTS[:1], "train")
        advance(1, 2)
    assert capsys.readouterr() == ("", "")
