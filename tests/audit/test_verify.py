import json
import re
import shutil
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from flows import clock, nightly
from forecasting.audit import verify as verifying
from forecasting.audit.evidence import compare
from forecasting.audit.verify import settings_of, verify
from forecasting.errors import ForecastingError, UsageError
from forecasting.night.steps import train
from forecasting.predict import combine, fallback
from forecasting.publish import models
from forecasting.publish.messages import newest_digest
from forecasting.sessions import between
from forecasting.settings import Settings, read_settings
from forecasting.store import connect
from tests.builders import LAST, random_bars, set_small_night
from tests.faults.world import early_evidence
from tests.nights import after, damage_weights, ingest_only, select
from tests.rewording import in_other_words
from tests.store.rows import stored_run
from tests.yahoo_stand_in import StandIn, asked_here, scaled

pytestmark = pytest.mark.slow

EARLY, *SESSIONS = between(date(2024, 2, 21), LAST)


@pytest.fixture
def yahoo(tmp_path, sqlite_url, plain_flows, monkeypatch):
    """Yahoo for a small night; calibration needs three origins, drift and fallback a handful."""
    yahoo_night = {"SOURCE": "yahoo", "SYMBOLS": "MSFT"}
    set_small_night(monkeypatch, tmp_path, sqlite_url, train_sessions=300, **yahoo_night)
    monkeypatch.setattr(train, "SCRATCH_EVERY", 5)
    monkeypatch.setattr(fallback, "MAX_AGE_SESSIONS", 1)
    served = StandIn(random_bars(days=560, seed=4, last=LAST), symbol="MSFT")
    soon = mock.patch.object(combine, "MIN_FORECASTS", 3)
    with early_evidence(), soon, asked_here(served, monkeypatch.setattr):
        yield served


def live(yahoo, monkeypatch):
    """Nights with all that may happen between them: restated bars, an earnings date, a lost market
    series.

    And a session without a night, damaged weights, a fit withdrawn by hand, a night run again
    under other settings, which those after it keep.
    """

    def at(session, hours):
        monkeypatch.setattr(clock, "now", after(session, hours))
        yahoo.today = session

    def a_night(session, mode="auto"):
        at(session, 13.5)
        nightly.nightly(mode=mode)

    first, second, third, fourth, _, sixth, seventh, eighth, ninth, tenth, eleventh, *rest = (
        SESSIONS
    )
    a_night(first)
    yahoo.edits = [scaled(0.9, second, column="volume")]
    a_night(second)
    at(second, 16)  # the exchange opens half an hour later
    yahoo.edits = []
    ingest_only(read_settings(), second, now=clock.now)
    a_night(third)
    at(third, 14)
    nightly.nightly(first=EARLY, last=EARLY)
    yahoo.market_fault = "500"
    a_night(fourth)
    yahoo.market_fault = None
    # The machine was off on the fifth.
    yahoo.edits = [scaled(1.4, third, column="volume")]
    damage_weights()
    a_night(sixth)
    yahoo.earnings = ["March 12, 2024 at 4 PM EDT"]
    a_night(seventh)
    a_night(eighth)
    networks, _ = models.list_models(read_settings())
    by_age = sorted(networks, key=lambda row: str(row.trained_to))
    models.withdraw(by_age[-1].id, read_settings(), now=clock.now)
    a_night(ninth)
    a_night(tenth)
    monkeypatch.setenv("FORECASTING_MARKET", "none")
    nightly.nightly(first=tenth, last=tenth)
    a_night(eleventh, "skip")  # after it the newest fit is too old
    for session in rest:
        a_night(session)


def verified(first=None):
    """The one symbol's sentence, or its error."""
    found = verify(read_settings(), first=first)
    found.raise_failed()
    return found.values["MSFT"]


def digest_counts(url):
    """What a morning's message is about: its lines, forecasts, results and kinds of problems."""
    settings = read_settings().model_copy(update={"database_url": SecretStr(url)})
    digest = newest_digest(settings, now=after(LAST))
    kinds = sorted(reason.kind for reason in digest.reasons)
    return len(digest.lines), len(digest.forecasts), len(digest.results), kinds


def test_every_night_lived_through_in_other_words_comes_out_again_to_the_bit(
    yahoo, monkeypatch, tmp_path
):
    with in_other_words():  # decisions read kinds and values
        live(yahoo, monkeypatch)
        told = digest_counts(read_settings().url)
    asked = len(yahoo.requests)
    issued = select("kind, status, past_forecasts", "forecasts")
    kinds, statuses, counts = map(set, zip(*issued, strict=True))
    assert (kinds, statuses, max(counts) >= 3) == ({"live", "replay"}, {"ok", "fallback"}, True)
    assert {method for (method,) in select("method", "models")} == {"scratch", "warm", "baseline"}
    assert len(select("DISTINCT verdict", "fetches WHERE symbol = '^VIX'")) >= 2
    reasons = {reason for (reason,) in select("mode_reason", "runs")}
    assert len(reasons) >= 5 and all(reason.startswith("«") for reason in reasons)
    monkeypatch.setattr(clock, "now", after(LAST, 24 * 30))
    made_again = []

    def seen(*nights, rerun, **stored):
        made_again.append((_scores(rerun), digest_counts(rerun)))
        return compare(*nights, rerun=rerun, **stored)

    monkeypatch.setattr(verifying, "compare", seen)
    assert verified(EARLY).startswith(
        f"MSFT volume: {len(SESSIONS) + 2} nights, {EARLY} to {LAST}: all {len(issued)} forecasts"
    )
    # The source was not asked, and this process is where it was
    assert (len(yahoo.requests), read_settings().data_dir) == (asked, tmp_path / "data")
    monkeypatch.setattr(verifying, "compare", compare)
    assert made_again == [(_scores(read_settings().url), told)]
    _assert_nights_before_the_newest_fit_from_scratch_are_copied()
    touched = f"origin_session = '{LAST}' AND horizon = 1 AND role = 'published'"
    with connect.transaction(read_settings().url) as connection:
        connection.execute(
            sa.text(f"UPDATE forecasts SET q95 = q95 * 1.0000000001 WHERE {touched}")
        )
    with pytest.raises(
        ForecastingError,
        match=rf"first a forecast \(origin_session {LAST}, horizon 1.* q95 was stored",
    ):
        verified(LAST)
    with connect.transaction(read_settings().url) as connection:
        other = f"(SELECT min(run_id) FROM forecasts WHERE origin_session < '{LAST}')"
        connection.execute(sa.text(f"UPDATE forecasts SET run_id = {other} WHERE {touched}"))
    with pytest.raises(
        ForecastingError,
        match=rf"first a forecast \(origin_session {LAST}, .*: not stored, but made again",
    ):
        verified(LAST)


def _assert_nights_before_the_newest_fit_from_scratch_are_copied():
    ((start,),) = select("max(as_of)", "runs WHERE mode = 'scratch'")
    with connect.transaction(read_settings().url) as connection:
        early = f"origin_session < '{start}' AND role = 'baseline'"
        connection.execute(sa.text(f"UPDATE forecasts SET q05 = q05 * 0.9 WHERE {early}"))
    same = verified()
    assert f", {start} to {LAST}: all " in same
    assert f"nights before {start}, which were copied" in same
    with pytest.raises(ForecastingError, match="q05 was stored as"):
        verified(EARLY)


def _scores(url):
    columns = (
        "symbol, target, horizon, origin_session, model_id, stage, bar_version, actual, error, "
        "pinball, inside_80"
    )
    with connect.reading(url) as connection:
        rows = connection.execute(sa.text(f"SELECT {columns} FROM scores"))
        return sorted((*row[:3], str(row[3])[:10], *row[4:10], bool(row[10])) for row in rows)


_OF_LAST = f"WHERE origin_session = '{LAST}'"
_WITHOUT = (
    f"DELETE FROM forecast_parts {_OF_LAST}; DELETE FROM forecasts {_OF_LAST}; UPDATE runs SET"
)
_SAME = (
    rf"1 night, {SESSIONS[-2]} to {SESSIONS[-2]}: all 30 forecasts, 55 forecast parts, 6 scores, "
    "8 totals, 6 models "
    "the same to the bit"
)
_OF_MODEL = f"WHERE id IN (SELECT model_id FROM forecasts {_OF_LAST} AND calibration != '')"
_ALTERED = {
    """UPDATE runs SET settings = replace(settings, '{', '{"members": 5, ')""": rf"{LAST}: made "
    rf"under settings .*\)\. {_SAME}",
    "UPDATE runs SET status = "
    "'failed'": rf"1 night \({LAST}: status failed, with forecasts\)\. {_SAME}",
    "UPDATE runs SET as_of = '2024-03-11'": rf"{LAST}: no such night in table runs",
    f"{_WITHOUT} status = 'done'": rf"{LAST}: status done, without forecasts\)\. {_SAME}",
    f"{_WITHOUT} symbol = "
    "'GONE'": rf"^MSFT volume: Not verified: 1 night \({LAST}: none stored\)\. {_SAME}",
    f"{_WITHOUT} status = "
    "'late'": rf"^MSFT volume: Not verified: 1 night \({LAST}: status late, with.* {_SAME}",
    f"{_WITHOUT} notes = '{{\"issued_before\": 1}}'": rf"^MSFT volume: Not verified: 1 night .* {_SAME}",
    "UPDATE forecasts SET last_value = 1 "
    f"{_OF_LAST}": "^MSFT volume: 30 of 60 .* last_value was stored as 1.0 and",
    f"UPDATE forecasts SET calibration = '1' {_OF_LAST}": "calibration was stored as 1 and",
    "UPDATE forecasts SET issued_at = '2024-03-12 00:00:00' "
    f"{_OF_LAST}": r"first a forecast \(.* kind live\): stored, but not made again",
    "UPDATE models SET seed = 9, artifact_hash = 'x' "
    f"{_OF_MODEL}": "1 of 7 .* seed was stored as 9 and comes out as 0",
    f"UPDATE forecasts SET calendar = '1' {_OF_LAST} AND horizon = "
    "1": "^MSFT volume: 6 of 60 .* calendar was stored as",
    f"CREATE TEMP TABLE t AS SELECT * FROM forecasts {_OF_LAST} AND role = 'published'; UPDATE t "
    "SET kind = 'late'; INSERT INTO forecasts SELECT * FROM "
    "t": "5 of 65 forecasts of 2 nights differ .* kind late.*: stored, but not made again",
    "UPDATE scores SET error = error + 1 WHERE horizon = 1 AND role = "
    "'published'": "1 of 6 scores .* error was stored",
    "DELETE FROM scores WHERE horizon = 1 AND role = "
    "'published'": "1 of 6 scores .* not stored, but made again",
    "UPDATE models SET artifact_hash = 'x' WHERE "
    "parent_id IS NOT NULL": "1 of 7 models of 2 nights differ",
    f"DELETE FROM forecast_parts {_OF_LAST} AND horizon = "
    "1": "11 of 110 forecast parts .*: not stored, but made",
    "UPDATE forecasts SET fetch_id = 'FIRST' "
    f"{_OF_LAST}": f"{LAST} of MSFT volume cannot be made again",
}


def test_whatever_is_stored_and_not_made_again_to_the_bit_is_named(yahoo, monkeypatch, tmp_path):
    with pytest.raises(UsageError, match=r"nothing to verify\. Check --symbol"):
        verified()
    for yahoo.today in SESSIONS[-2:]:
        monkeypatch.setattr(clock, "now", after(yahoo.today, 13.5))
        nightly.nightly()
    ledger = Path(read_settings().url.removeprefix("sqlite:///"))
    kept = tmp_path / "kept.db"
    shutil.copy(ledger, kept)
    fetch = select("id", "fetches WHERE symbol = 'MSFT' ORDER BY fetched_at")[0][0]
    for statements, told in _ALTERED.items():
        with closing(sqlite3.connect(ledger)) as connection:
            of_night = f" WHERE as_of = '{LAST}'" if "UPDATE runs" in statements else ""
            connection.executescript(statements.replace("FIRST", fetch) + of_night)
        found = verify(read_settings(), last=LAST)
        text = found.values.get("MSFT") or str(found.errors["MSFT"])
        assert re.search(told, text), (statements, text)
        for path in re.findall(r"differences are in (\S+\.csv)", text):
            each = pd.read_csv(path).drop(columns=["column", "stored", "rerun"]).drop_duplicates()
            assert len(each) == sum(
                int(n) for n in re.findall(r"(\d+) of \d+ [a-z ]+?(?=,| of)", text)
            )
        assert [error.exit_code for error in found.errors.values()] == [1] * len(found.errors)
        shutil.copy(kept, ledger)


def test_a_night_has_its_own_settings_whatever_has_been_set_since():
    for market in (None, "none", "^VXN"):
        then = Settings(market=market).for_symbol("SBUX")
        as_settings = json.dumps(then.forecast_fields())
        run = stored_run("n", "2024-03-08", source="yahoo", settings=as_settings)
        own = settings_of(run, Settings(exchange="XLON", market="^GSPC"))
        assert own.forecast_fields() == then.forecast_fields()
        assert own.market_choice == then.market_choice
