"""A morning of six symbols, five of them in trouble, in our words and in others."""

from contextlib import nullcontext
from datetime import timedelta

import pytest

from flows import clock, nightly
from forecasting.errors import SymbolsFailedError
from forecasting.publish import pages
from forecasting.publish.messages import newest_digest
from forecasting.report.page import render_page
from forecasting.sessions import closes_at
from forecasting.settings import read_settings
from forecasting.store import migrate
from tests.builders import LAST, random_bars, set_small_night
from tests.flows.test_cli import run
from tests.nights import contents, select
from tests.rewording import SENTENCES, in_other_words
from tests.yahoo_stand_in import StandIn, asked_here

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_flows")]

STATUSES = {
    "SBUX": "done",
    "LATE": "late",
    "LATER": "late",
    "HELD": "late",
    "COPY": "failed",
    "GONE": "failed",
}
COMMANDS = (
    "check",
    "doctor",
    "digest",
    "show",
    "show --symbol SBUX",
    "run --symbol LATE",
    "run --symbol GONE",
    "run --symbol SBUX",
    "run --as-of 2024-03-09",
    "models list --symbol SBUX",
)


def served():
    """Yahoo without the newest bar of two symbols, with a tenth of its volume for another, with the
    bars of SBUX under another name, and without the last symbol."""
    bars = [random_bars(days=560, seed=seed, last=LAST) for seed in range(4)]
    bars[3].loc[str(LAST), "volume"] *= 0.1
    stand_in = StandIn(bars[0])
    stand_in.add("LATE", bars[1][:-1])
    stand_in.add("LATER", bars[2][:-1])
    stand_in.add("HELD", bars[3])
    stand_in.add("COPY", bars[0])
    stand_in.today = LAST
    return stand_in


def morning(folder, monkeypatch):
    """What can be counted of an unattended morning and of the commands after it."""
    moment = [closes_at(LAST) + timedelta(hours=13, minutes=30)]
    waits = []

    def wait(until):
        waits.append(until)
        moment[0] = until

    monkeypatch.setattr(clock, "now", lambda: moment[0])
    monkeypatch.setattr(clock, "wait_until", wait)
    url = f"sqlite:///{folder / 'ledger.db'}"
    of_yahoo = {"SOURCE": "yahoo", "SYMBOLS": ",".join(STATUSES), "MARKET": "none"}
    set_small_night(monkeypatch, folder, url, **of_yahoo)
    monkeypatch.setattr(pages, "render_page", render_page)
    migrate.upgrade(url)
    with asked_here(served(), monkeypatch.setattr) as yahoo:
        with pytest.raises(SymbolsFailedError) as ended:
            nightly.nightly(patient=True)
        statuses = dict(select("symbol, status", f"runs WHERE as_of = '{LAST}'"))
        digest = newest_digest(read_settings(), now=clock.now)
        codes = [run(*command.split())[0] for command in COMMANDS]
        asked = len(yahoo.requests)
    return {
        "exit code": ended.value.exit_code,
        "waits": waits,
        "requests": asked,
        "statuses": statuses,
        "forecasts": len(digest.forecasts),
        "problems": [reason.kind for reason in digest.reasons],
        "exit codes": codes,
        "ledger": contents(url, without=SENTENCES | {"runs": (*SENTENCES["runs"], "notes")}),
    }


def test_a_morning_of_troubles_is_the_same_in_other_words(tmp_path, monkeypatch):
    found = []
    for name, words in (("ours", nullcontext()), ("others", in_other_words())):
        folder = tmp_path / name
        folder.mkdir()
        with words:
            found.append(morning(folder, monkeypatch))
    ours, others = found
    assert (ours["statuses"], len(ours["waits"]) > 5) == (STATUSES, True)
    assert set(ours["exit codes"]) == {0, 1, 2, 3, 4}
    for part, value in ours.items():
        assert others[part] == value, part
