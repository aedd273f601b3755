from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from forecasting.report import listings
from forecasting.report.track_record import track_record
from forecasting.settings import Settings
from tests.report.nights import ORIGIN, forecasts, long_record, report_data, score, scored

MODEL = {
    "id": "3f9c2ab1a77d0e11",
    "symbol": "SBUX",
    "champion": True,
    "method": "scratch",
    "parent_id": None,
    "base": "volume-2022-12-30",
    "trained_to": ORIGIN,
    "chain_epochs": 6,
    "weights": "kept",
    "refused": "",
}

FIGURES = {
    "mae": 1.5e6,
    "baselines": {"ridge": 2e6},
    "best_baseline": "ridge",
    "skill_vs_best": 0.25,
    "dm_p_value": 0.01,
    "coverage_80": 0.8,
    "coverage_90": 0.9,
}
"""Of one horizon of a backtest's document."""


def test_a_night_has_a_row_a_session_in_its_own_unit():
    columns, rows = listings.night_listing(report_data(forecasts=forecasts(status="fallback", reason="old", q50=8e6)))
    assert [len(row) for row in rows] == [len(columns)] * 5
    assert columns == ["session", "median", "80 % interval", "vs usual", "status", "special day"]
    assert (rows[0][0], rows[0][1], rows[0][4]) == ("Mon 2024-03-11", "8.00", "fallback")
    assert [row[5] for row in rows] == ["", "", "earnings", "", "triple witching"]


def test_a_close_is_compared_with_the_last_one():
    data = report_data("close")
    columns, rows = listings.night_listing(data)
    assert "vs last" in columns
    assert [str(row[3]).replace("\N{NO-BREAK SPACE}", "") for row in rows] == [
        "+1.0%",
        "+2.0%",
        "+3.0%",
        "+4.0%",
        "+5.0%",
    ]


@pytest.mark.parametrize(("target", "shown"), [("volume", "0"), ("range", "0"), ("close", "+0.3")])
def test_a_small_change_of_a_close_is_shown_as_in_its_sentence(target, shown):
    assert listings.change(46.74, 46.61, target=target) == f"{shown}\N{NO-BREAK SPACE}%"


def test_a_change_against_zero_is_a_dash():
    assert listings.change(1.0, 0.0, target="volume") == "\N{EN DASH}"


def test_the_newest_sixty_origins_have_a_row_only_where_there_are_more_than_twenty():
    for origins, sessions in (
        (1, ["1 session"]),
        (12, ["12 sessions"]),
        (40, ["20 sessions", "40 sessions"]),
        (70, ["20 sessions", "60 sessions"]),
    ):
        data = report_data(scored=long_record(origins=origins))
        _, rows = listings.window_listing(data, track_record(data.scored))
        assert [(row[0], row[3]) for row in rows] == [(named, "ridge") for named in sessions]
        assert [row[1] for row in rows] == [int(named.split()[0]) for named in sessions]


def test_a_record_has_a_row_a_baseline_and_one_for_the_network_where_it_was_replaced():
    rows = [
        score(ago=1, median=14e6, actual=10e6, role="silenced"),
        score(ago=1, median=12e6, actual=10e6, name="ridge"),
        score(ago=2, median=11e6, actual=10e6),
        score(ago=2, median=14e6, actual=10e6, name="ridge", role="baseline"),
    ]
    data = report_data(scored=scored(*rows))
    columns, found = listings.record_listing(data, track_record(data.scored))
    assert columns == ["against", "n", "our error", "its error", "skill", "pinball skill"]
    assert [[str(cell).replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in found] == [
        ["ridge", "2", "1.50", "3.00", "+50.0 %", "+50.0 %"],
        ["the network alone", "2", "1.50", "2.50", "+40.0 %", "+40.0 %"],
    ]
    sound = report_data(scored=scored(*rows[2:]))
    assert [row[0] for row in listings.record_listing(sound, track_record(sound.scored))[1]] == ["ridge"]


def test_a_backtest_has_a_row_a_horizon_and_one_over_all_with_each_baseline():
    about = {"symbol": "SBUX", "target": "volume", "overall": FIGURES, "horizons": {"1": FIGURES | {"mae": 1.2345e6}}}
    columns, rows = listings.backtest_listing(about)
    assert columns == ["horizon", "mean error, M shares", "ridge", "against ridge", "p", "in 80 %", "in 90 %"]
    assert rows == [
        ["1", "1.23", "2.00", "+25.0 %", "0.01", "80.0 %", "90.0 %"],
        ["all", "1.50", "2.00", "+25.0 %", "0.01", "80.0 %", "90.0 %"],
    ]


def test_a_fact_of_a_model_is_text_for_people():
    fetched = datetime(2024, 3, 9, 10, 31, 5, 123456, tzinfo=UTC)
    model = {"parents": ["a", "b"], "gate": '{"origins": 40, "champion": 133034038.77874844}', "fetched_at": fetched}
    _, rows = listings.lineage_listing(model | {"seed": 0, "refused": None})
    assert rows == [
        ["parents", "a, b"],
        ["gate", "origins 40, champion 133034000.0"],
        ["fetched_at", "2024-03-09 10:31 UTC"],
        ["seed", 0],
        ["refused", None],
    ]


def test_a_model_is_listed_with_what_its_fit_started_from():
    _, rows = listings.model_listing([MODEL, MODEL | {"id": "other", "champion": False, "parent_id": MODEL["id"]}])
    assert rows[0] == [MODEL["id"], "yes", "scratch", "volume-2022-12-30", ORIGIN, 6, "kept", ""]
    assert rows[1][:4] == ["other", "", "scratch", MODEL["id"]]
    columns, rows = listings.model_listing([MODEL, MODEL | {"symbol": "MSFT"}])
    assert (columns[0], [row[0] for row in rows]) == ("symbol", ["SBUX", "MSFT"])


def test_settings_are_listed_as_their_variables_take_them_with_every_symbols_exchange():
    folders = (Path("/srv/bars"), Path("/srv/events"))
    settings = Settings(symbols=("SBUX", "VOD.L"), files=folders, database_url="postgresql://me:hunter2@db/x")
    _, rows = listings.settings_listing(settings)
    values = {row[0]: row[1] for row in rows}
    assert values["FORECASTING_SYMBOLS"] == "SBUX,VOD.L"
    assert values["FORECASTING_FILES"] == "/srv/bars,/srv/events"
    assert values["FORECASTING_EXCHANGES"] == "SBUX=XNYS,VOD.L=XLON"
    assert listings.settings_document(settings)["exchanges"] == {"SBUX": "XNYS", "VOD.L": "XLON"}
    assert "hunter2" not in str(rows)
