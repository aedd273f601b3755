from datetime import UTC, date, datetime, time

import pandas as pd
import pytest
import sqlalchemy as sa

from flows import clock
from flows.parameters import narrowed
from forecasting.audit.run_backtest import run_each
from forecasting.errors import UsageError
from forecasting.night import plan
from forecasting.night.night import RunOptions
from forecasting.settings import Settings
from forecasting.store import schema
from forecasting.store.connect import transaction
from tests.builders import LAST, random_bars, write_yahoo_csv
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
