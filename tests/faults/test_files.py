"""Files that lie, leak or are damaged, each through a whole ingest or night as a user has it."""

from __future__ import annotations

import json
import os
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from flows import backtest, catch_up, clock, nightly
from flows.start import start_night
from forecasting.errors import BadDataError, DataLateError, UsageError
from forecasting.pipeline.plan import narrowed
from forecasting.pipeline.run import ingest_only
from forecasting.sessions import closes_at
from forecasting.settings import read_settings
from tests.builders import LAST, random_bars, set_small_night, write_yahoo_csv
from tests.nights import counts, rows
from tests.plain_flows import without_prefect

BARS = random_bars(days=650, seed=3, last=LAST)
BEFORE = BARS.index[-2].date()
PRICES = ["open", "high", "low", "close", "adj_close"]


@pytest.fixture(autouse=True)
def csv_file(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of sound bars without a symbol column, and settings of a small night that read it."""
    path = tmp_path / "TEST.csv"
    write_yahoo_csv(BARS, path)
    set_small_night(monkeypatch, tmp_path, sqlite_url)
    monkeypatch.setattr(clock, "now", lambda: pd.Timestamp("2024-03-09T10:30Z").to_pydatetime())
    without_prefect(monkeypatch.setattr)
    return path


def ingest(as_of: date = LAST, *, accept: bool = False) -> dict[str, object]:
    return ingest_only(read_settings(), as_of=as_of, switch_source=accept, now=clock.now)[0].get()


def open_rules() -> list[str]:
    return sorted(str(row["rule"]) for row in rows("findings") if row["cleared_at"] is None)


@pytest.mark.parametrize(
    "start",
    [
        lambda **given: nightly.nightly(**given),
        lambda **given: catch_up.catch_up(LAST, LAST, **given),
        lambda **given: backtest.backtest(LAST, LAST, **given),
    ],
)
@pytest.mark.parametrize("kind", ["source", "events"])
def test_a_flow_parameter_reads_no_file_outside_the_folders(start, kind, tmp_path):
    (tmp_path / "secret").write_text("hunter2,hunter3\n")
    for path in ("/proc/self/environ", "/etc/shadow", "/etc/none", f"{tmp_path / 'data'}/sources/../../secret"):
        with pytest.raises(UsageError, match="inside FORECASTING_FILES") as caught:
            start(**{kind: f"csv:{path}"})
        assert "hunter" not in str(caught.value)
    assert set(counts().values()) == {0}


def test_a_flow_parameter_may_name_files_of_the_folders_and_those_of_the_environment(tmp_path, csv_file, monkeypatch):
    assert narrowed(source=f"csv:{csv_file}", events=None).source == f"csv:{csv_file}"
    inside = f"csv:{tmp_path / 'data' / 'sources' / 'A.csv'}"
    assert narrowed(source=inside).source == inside
    with pytest.raises(UsageError):
        narrowed(source=f"csv:{tmp_path / 'more' / 'A.csv'}")
    monkeypatch.setenv("FORECASTING_FILES", f"{tmp_path / 'more'},{tmp_path / 'other'}")
    assert narrowed(source=f"csv:{tmp_path / 'more' / 'A.csv'}").source.endswith("A.csv")
    with pytest.raises(UsageError):
        narrowed(source=inside)


@pytest.mark.parametrize(
    ("factor", "rule"), [(0.001, "partial_bar"), (10, "volume_inflated"), (1e9, "volume_impossible")]
)
def test_a_newest_volume_out_of_all_proportion_is_held_and_leaves_its_rows(csv_file, factor, rule):
    bars = BARS.copy()
    bars.loc[pd.Timestamp(LAST), "volume"] *= factor
    write_yahoo_csv(bars, csv_file)
    with pytest.raises(DataLateError, match=rf"no usable bar for the session {LAST}.*is kept out \({rule}, "):
        start_night(as_of=LAST, mode="auto", switch_source=False)
    assert rule in open_rules()
    assert [row["verdict"] for row in rows("fetches")] == ["late"]
    assert [(row["status"], "no usable bar" in str(row["error"])) for row in rows("runs")] == [("late", True)]
    assert rows("bar_versions") == []
    write_yahoo_csv(BARS, csv_file)
    start_night(as_of=LAST, mode="skip", switch_source=False)
    assert [(row["status"], row["error"], "usable" in str(row["note"])) for row in rows("runs")] == [
        ("done", None, False)
    ]
    assert open_rules() == []


def test_a_symbol_stays_with_its_series(csv_file: Path) -> None:
    write_yahoo_csv(BARS.iloc[:-1], csv_file)
    ingest(BEFORE)
    write_yahoo_csv(random_bars(days=650, seed=8, last=LAST), csv_file)
    with pytest.raises(
        BadDataError, match=r"not the stored series of TEST\. Of \d+ common sessions \d+% .*--switch-source"
    ):
        start_night(as_of=LAST, mode="auto", switch_source=False)
    assert open_rules() == ["other_series"]
    assert [(row["status"], "series" in str(row["error"])) for row in rows("runs")] == [("failed", True)]


def test_a_history_in_another_currency_is_held_with_the_way_out_and_accepted_on_request(csv_file: Path) -> None:
    write_yahoo_csv(BARS.iloc[:-1], csv_file)
    ingest(BEFORE)
    other = BARS.copy()
    other[PRICES] *= 0.926
    write_yahoo_csv(other, csv_file)
    with pytest.raises(DataLateError, match=r"median x0\.926.*ends when the source returns.*--switch-source"):
        ingest()
    assert open_rules() == ["rebase_unexplained"]
    ingest(accept=True)
    assert open_rules() == []
    newest = max(row for row in rows("bar_versions") if str(row["session"]) == str(BEFORE) for row in [row["close"]])
    assert newest == pytest.approx(BARS["close"].iloc[-2])
    assert {row["version"] for row in rows("bar_versions") if str(row["session"]) == str(BEFORE)} == {1, 2}


def test_forecasts_made_before_another_currency_was_accepted_are_compared_with_no_bar_of_it(csv_file, monkeypatch):
    monkeypatch.setenv("FORECASTING_TARGET", "close")
    nights, accepted = [day.date() for day in BARS.index[-8:]], BARS.index[-3].date()
    for session in nights:
        bars = BARS.loc[: pd.Timestamp(session)].copy()
        if session >= accepted:
            bars[PRICES] *= 0.85
        write_yahoo_csv(bars, csv_file)
        monkeypatch.setattr(clock, "now", lambda session=session: closes_at(session) + timedelta(hours=13))
        mode = "auto" if session == nights[0] else "skip"
        start_night(as_of=session, mode=mode, switch_source=session == accepted)
    forecasts = [row for row in rows("forecasts") if row["role"] == "champion"]
    assert all(abs(float(row["error"])) < 0.1 * float(row["actual"]) for row in rows("scores"))
    scored = {(str(row["origin_session"]), str(row["target_session"])) for row in rows("scores")}
    before, after = [[d for d in nights if (d < accepted) == is_before] for is_before in (True, False)]
    assert scored == {(str(a), str(b)) for span in (before, after) for a in span for b in span if a < b}
    factors = [json.loads(str(row["calibration"]))["factors"] for row in forecasts]
    assert max(max(one) for one in factors) < 1.03  # an actual in the other currency is outside all quantiles
    assert len({tuple(one) for one in factors}) > 5


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b"PAR1", os.urandom(3000), b"a" * 200_000])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_of_another_kind_are_one_short_paragraph(csv_file, content, kind, monkeypatch):
    csv_file.write_bytes(content)
    monkeypatch.setenv("FORECASTING_SOURCE", f"{kind}:{csv_file}")
    with pytest.raises(BadDataError) as caught:
        ingest()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("variable", ["SOURCE", "EVENTS", "MARKET"])
def test_a_file_of_ten_gigabytes_is_refused_unread(variable, tmp_path, monkeypatch):
    large = tmp_path / "LARGE.csv"
    with large.open("wb") as file:
        file.truncate(10 * 2**30)  # sparse: no disk is filled
    monkeypatch.setenv(f"FORECASTING_{variable}", f"csv:{large}")
    with pytest.raises(UsageError, match=r"at most 512 MiB.*found 10,240 MiB"):
        start_night(as_of=LAST, mode="auto", switch_source=False)
    assert rows("bar_versions") == []
