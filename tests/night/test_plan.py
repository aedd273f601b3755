from datetime import UTC, date, datetime, time

import pandas as pd
import pytest
import sqlalchemy as sa

from flows import clock
from flows.parameters import narrowed, run_name
from forecasting.audit.run_backtest import run_each
from forecasting.errors import UsageError
from forecasting.night import plan
from forecasting.night.health import checked, night_checks
from forecasting.night.night import RunOptions
from forecasting.settings import Settings, read_settings
from forecasting.store import schema
from forecasting.store.connect import transaction
from tests.builders import LAST, random_bars, write_yahoo_csv
from tests.nights import night, rows
from tests.store.rows import run_row


@pytest.mark.parametrize(
    ("day", "before"),
    [
        (date(2024, 3, 10), "2024-03-08"),
        (date(2027, 1, 1), "2024-03-08"),
        (date(2024, 2, 19), "2024-02-16"),
    ],
)
def test_a_day_without_trading_is_refused_with_the_newest_closed_session_before_it(day, before):
    with pytest.raises(
        UsageError,
        match=rf"found {day}, a \w+ on which it does not trade. The newest .* is {before}",
    ):
        plan.check_session(day, "XNYS", now=lambda: datetime(2024, 3, 9, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("option", "form", "told"),
    [
        ("events", "xls:{}", "Expected events as a .csv file"),
        ("events", "{}", "lacks announced"),
        ("events", "csv:{}", "lacks announced"),
        ("market", "csv:{}", "lacks date, close"),
        ("market", "^VIX", r"bars.csv has no rows of \^VIX"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_starts(
    sqlite_url, tmp_path, option, form, told
):
    (tmp_path / "VIX.csv").write_text("when,timing\n2024-01-30,amc\n")
    random_bars(3, seed=1).assign(symbol="SBUX").to_csv(tmp_path / "bars.csv")
    given = {"source": f"csv:{tmp_path / 'bars.csv'}", option: form.format(tmp_path / "VIX.csv")}
    settings = Settings(database_url=sqlite_url, **given)
    with pytest.raises(UsageError, match=told):
        plan.check_options(settings, RunOptions(), now=clock.now)


def test_one_file_of_earnings_dates_for_several_symbols_says_whose_each_is(sqlite_url, tmp_path):
    path = tmp_path / "dates.csv"
    path.write_text("announced,timing\n2024-01-30,amc\n")
    settings = Settings(
        database_url=sqlite_url, source="sample", symbols="ADBE,PEP", events=f"csv:{path}"
    )
    with pytest.raises(UsageError, match="column symbol"):
        plan.check_options(settings, RunOptions(), now=clock.now)
    with pytest.raises(UsageError, match="column symbol"):
        run_each(settings, lambda own: pytest.fail("begun"), store=False, workers=1, now=clock.now)
    failed = plan.planned_nights(settings, RunOptions(), now=clock.now)
    assert ["column symbol" in str(one.error) for one in failed] == [True] * 2


def test_the_first_missed_session_is_worked_off_where_the_exchange_was_corrected(sqlite_url):
    """The newest night is of Presidents' Day, by London's calendar.

    Then the symbol is New York's.
    """
    with transaction(sqlite_url) as connection:
        connection.execute(sa.insert(schema.runs), [run_row("a", "2024-02-19")])
    own = Settings(database_url=sqlite_url)

    def now():
        return datetime(2024, 2, 22, 2, tzinfo=UTC)

    for options in (RunOptions(), RunOptions(last=date(2024, 2, 21))):
        sessions = plan.sessions_of_run(own, options, now=now)
        assert sessions == [date(2024, 2, 20), date(2024, 2, 21)]
    saturday = date(2024, 2, 10)
    sunday = date(2024, 2, 18)
    spanned = plan.sessions_of_run(own, RunOptions(saturday, sunday), now=now)
    assert [session.day for session in spanned] == [12, 13, 14, 15, 16]
    with pytest.raises(UsageError, match="with a session in it"):
        plan.check_options(own, RunOptions(date(2024, 2, 17), sunday), now=now)


@pytest.mark.parametrize(
    "last", [date(2024, 3, 9), date(2024, 3, 10), date(2024, 5, 27), date(2027, 5, 3)]
)
def test_a_file_that_ends_on_a_day_without_trading_or_after_today_has_a_night_of_the_session_before(
    sqlite_url, tmp_path, last
):
    bars = random_bars(100, seed=1, last=LAST if last.month == 3 else date(2024, 5, 24))
    write_yahoo_csv(
        pd.concat([bars, bars.iloc[[-1]].set_axis([pd.Timestamp(last)])]), tmp_path / "bars.csv"
    )
    own = Settings(database_url=sqlite_url, source=f"csv:{tmp_path / 'bars.csv'}")

    def now():
        return datetime(2024, 6, 1, tzinfo=UTC)

    (session,) = plan.sessions_of_run(own, RunOptions(), now=now)
    assert session == bars.index[-1].date()
    both = f"{session} of SBUX, 2024-01-02 of KO, before the newest completed one, 2024-05-31"
    newest = {"SBUX": session}
    assert both in plan.early_end(own, newest | {"KO": date(2024, 1, 2)}, now=now)
    assert not plan.early_end(own, newest, now=lambda: datetime.combine(session, time(23), UTC))


@pytest.mark.parametrize(
    ("symbol", "source", "lines", "words"),
    [
        # Right for Python too
        ("TEST", "csv:{}", None, "or once `forecasting run` with --switch-source"),
        ("TEST", "csv:{}", ["hello", "world"], "lacks date"),
        (
            "TEST",
            "csv:{}",
            ["Date,Symbol,Open,High,Low,Close,Volume", "2024-03-08,PEP,1,1,1,1,1"],
            "no rows of TEST",
        ),
        ("TEST", "sample", None, "TEST is not in the sample"),
        ("TSET", "sample", None, "TSET is not in the sample"),
    ],
)
@pytest.mark.usefixtures("done_on_the_seventh", "plain_flows")
def test_a_refused_command_leaves_no_trace(csv_of_bars, monkeypatch, symbol, source, lines, words):
    before = {name: rows(name) for name in schema.metadata.tables}
    other = csv_of_bars.with_name("OTHER.csv")
    other.write_text("\n".join(lines) if lines else csv_of_bars.read_text())
    monkeypatch.setenv("FORECASTING_SOURCE", source.format(other))
    monkeypatch.setenv("FORECASTING_SYMBOLS", symbol)
    with pytest.raises(UsageError, match=words) as refused:
        night()
    assert {name: rows(name) for name in schema.metadata.tables} == before
    found = {row.check: row.found for row in checked(night_checks(read_settings(), now=clock.now))}
    assert found["source"] == str(refused.value)


SATURDAY = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)


@pytest.fixture
def settings_in_force(tmp_path, monkeypatch):
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,VOD.L")


@pytest.mark.usefixtures("settings_in_force")
def test_a_parameter_overrides_its_setting_and_an_invalid_one_is_refused_by_name():
    settings = narrowed(symbols=["MSFT"], targets=None, source="yahoo")
    assert (settings.symbols, settings.target, settings.source) == (("MSFT",), "volume", "yahoo")
    with pytest.raises(UsageError, match=r"^Invalid flow parameter\. targets: ") as refused:
        narrowed(targets="volumes")
    assert "volumes'" not in str(refused.value)
    with pytest.raises(UsageError, match="an argument that FORECASTING_SOURCE does not have"):
        narrowed(source="house:http://10.0.0.1")
    for path in ("/etc/bars.csv", "csv:/etc/bars.csv"):
        with pytest.raises(UsageError, match="a file outside them"):
            narrowed(source=path)
    with pytest.raises(UsageError, match="FORECASTING_EXCHANGES"):
        narrowed(symbols=["btc-usd"])


@pytest.mark.usefixtures("settings_in_force")
@pytest.mark.parametrize(
    ("flow", "given", "name"),
    [
        (
            "nightly",
            {"first": "2024-03-07", "last": "2024-03-07"},
            "nightly-SBUX+VOD.L-volume-2024-03-07",
        ),
        (
            "nightly",
            {"symbols": ["MSFT"], "last": "2024-03-06"},
            "nightly-MSFT-volume-2024-03-06",
        ),
        ("nightly", {"symbols": ["MSFT"], "target": "range"}, "nightly-MSFT-range-2024-03-08"),
        (
            "backtest",
            {"symbol": None, "first": "2023-01-03", "last": "2023-12-29"},
            "backtest-SBUX-volume-2023-01-03-2023-12-29",
        ),
        ("nightly", {"symbols": ["A" * 10_000]}, f"nightly-{'A' * 92}"),
    ],
)
def test_a_run_is_named_by_flow_symbols_target_and_the_newest_session(flow, given, name):
    shown = run_name(flow, given, now=lambda: SATURDAY)
    assert shown == name or len(shown) == 100
