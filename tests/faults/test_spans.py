"""Past nights: each is the same whatever span it is caught up in, and scored as far as its bars are
stored."""

from datetime import date
from unittest import mock

import pytest

from flows.start import start_catch_up
from forecasting.night.steps import train
from forecasting.sessions import between
from tests.builders import LAST, set_small_night
from tests.nights import copy_nights, leave_nights, ledger_in, night, rows, timeless

pytestmark = pytest.mark.slow

SPAN = between(date(2024, 3, 1), date(2024, 3, 5))
EACH_FROM_SCRATCH = mock.patch.object(train, "SCRATCH_EVERY", 1)
AFTER = date(2024, 3, 6)
"""The session after the span."""


@pytest.fixture(autouse=True)
def a_fit_from_scratch_each_night(tmp_path, sqlite_url, csv_of_bars, plain_flows, monkeypatch):
    set_small_night(monkeypatch, tmp_path, sqlite_url)
    monkeypatch.setattr(train, "SCRATCH_EVERY", 1)


def caught_up(first, last):
    start_catch_up(first=first, last=last, refit_every=1)


def one_by_one(first, last):
    for session in between(first, last):
        night(session)


def fits():
    """The hash of each night's weights, by its session.

    The scaler and the span of its rows are part of it.
    """
    session = {row["id"]: str(row["as_of"])[:10] for row in rows("runs")}
    return {
        session[row["run_id"]]: row["artifact_hash"]
        for row in rows("models")
        if row["name"] == "lstm"
    }


def published():
    names = ("origin_session", "horizon", "model_id", "status", "reason", "q05", "q50", "q95")
    issued = rows("forecasts", role="published")
    return sorted((tuple(row[name] for name in names) for row in issued), key=str)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, migrated_sqlite_file):
    """`fits` and `published` after the whole span in one go, on a ledger without a later bar."""
    folder = tmp_path_factory.mktemp("whole")
    with EACH_FROM_SCRATCH, ledger_in(folder, migrated_sqlite_file):
        caught_up(SPAN[0], SPAN[-1])
        return fits(), published()


@pytest.fixture(scope="module")
def folder_of_a_newer_night(tmp_path_factory, migrated_sqlite_file):
    """What the night of LAST leaves: its data folder `data` and its ledger `ledger.db`."""
    with EACH_FROM_SCRATCH:
        return leave_nights([LAST], tmp_path_factory.mktemp("newer"), migrated_sqlite_file)


@pytest.fixture
def beside_a_newer_night(folder_of_a_newer_night, tmp_path, sqlite_url):
    """The night of LAST is done."""
    copy_nights(folder_of_a_newer_night, tmp_path / "data", sqlite_url)


@pytest.mark.parametrize(
    ("way", "part", "beside"),
    [
        (caught_up, SPAN[2:], []),
        (one_by_one, SPAN[:2], []),
        (caught_up, SPAN[:2], ["beside_a_newer_night"]),
    ],
)
def test_a_night_fits_the_same_weights_whatever_span_it_is_caught_up_in_and_beside_a_newer_night(
    way, part, beside, whole, request
):
    for fixture in beside:
        request.getfixturevalue(fixture)
    way(part[0], part[-1])
    found = fits()
    assert [found[str(session)] for session in part] == [whole[0][str(session)] for session in part]


@pytest.mark.usefixtures("beside_a_newer_night")
@pytest.mark.parametrize("way", [caught_up, one_by_one])
def test_a_past_night_scores_its_forecasts_as_far_as_their_bars_are_stored(
    way,
):
    way(SPAN[1], SPAN[2])
    scored = {(str(row["origin_session"])[:10], row["horizon"]) for row in rows("scores")}
    # LAST is the fourth session after the one night, the third after the other.
    assert scored == {
        (str(SPAN[at]), horizon) for at, most in ((1, 4), (2, 3)) for horizon in range(1, most + 1)
    }
    before = timeless("scores")
    night(AFTER)
    assert [
        row for row in timeless("scores") if str(row["origin_session"])[:10] != str(AFTER)
    ] == before
