"""Files that lie, leak or are damaged, each through a whole ingest or night as a user has it."""

import pandas as pd
import pytest

from flows import backtest, clock, nightly
from flows.parameters import narrowed
from forecasting.errors import DataLateError, UsageError
from forecasting.settings import read_settings
from tests.builders import LAST, PRICES, random_bars, scaled, write_yahoo_csv
from tests.nights import counts, ingest_only, night, rows

pytestmark = pytest.mark.slow

BARS = random_bars(days=650, seed=3, last=LAST)
BEFORE = BARS.index[-2].date()


@pytest.fixture(autouse=True)
def csv_file(night_folder, csv_of_bars, plain_flows, monkeypatch):
    """A file of sound bars without a symbol column, and settings of a small night that read it."""
    monkeypatch.setattr(clock, "now", lambda: pd.Timestamp("2024-03-09T10:30Z").to_pydatetime())
    return csv_of_bars


def ingest(as_of=LAST, *, accept=False):
    ingest_only(read_settings(), as_of, accept=accept, now=clock.now)


def open_rules():
    return sorted(str(row["rule"]) for row in rows("findings") if row["cleared_at"] is None)


@pytest.mark.parametrize(
    "start",
    [
        lambda **given: nightly.nightly(**given),
        lambda **given: nightly.nightly(first=LAST, last=LAST, **given),
        lambda **given: backtest.backtest(LAST, LAST, **given),
    ],
)
@pytest.mark.parametrize("kind", ["source", "events"])
def test_a_flow_parameter_reads_no_file_outside_the_folders_and_says_the_same_whether_there_is_one(
    start, kind, tmp_path
):
    folder = tmp_path / "data" / "sources"
    folder.mkdir(parents=True)
    (folder / "link.csv").symlink_to("/etc/passwd")
    (tmp_path / "secret").write_text("hunter2,hunter3\n")
    messages = set()
    for path in (
        "/proc/self/environ",
        "/etc/none",
        f"{folder}/../../secret",
        f"{folder}/link.csv",
        f"{folder}2/x.csv",
        "a" * 9999,
        "a\0b",
    ):
        with pytest.raises(UsageError, match="inside FORECASTING_FILES") as caught:
            start(**{kind: f"csv:{path}"})
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert set(counts().values()) == {0}


def test_a_flow_parameter_may_name_files_of_the_folders_and_those_of_the_environment(
    tmp_path, csv_file, monkeypatch
):
    assert narrowed(source=f"csv:{csv_file}", events=None).source == f"csv:{csv_file}"
    inside = f"csv:{tmp_path / 'data' / 'sources' / 'A.csv'}"
    assert narrowed(source=inside).source == inside
    with pytest.raises(UsageError):
        narrowed(source=f"csv:{tmp_path / 'more' / 'A.csv'}")
    monkeypatch.setenv("FORECASTING_FILES", f"{tmp_path / 'more'},{tmp_path / 'other'}")
    assert narrowed(source=f"csv:{tmp_path / 'more' / 'A.csv'}").source.endswith("A.csv")
    with pytest.raises(UsageError):
        narrowed(source=inside)


def test_a_file_that_lies_is_held_with_its_rule_until_it_is_corrected(csv_file):
    lie = scaled(BARS, 10, -1, "volume")
    held(lie, csv_file, r"is kept out \(volume_inflated, ", "volume_inflated")
    write_yahoo_csv(BARS, csv_file)
    night(LAST, "skip")
    assert [(row["status"], row["error"]) for row in rows("runs")] == [("done", None)]
    assert open_rules() == []


def held(lie, csv_file, text, rule):
    """After a sound night, a night of a file that lies, which keeps its bars out."""
    write_yahoo_csv(BARS.iloc[:-1], csv_file)
    ingest(BEFORE)
    write_yahoo_csv(lie, csv_file)
    with pytest.raises(DataLateError, match=text):
        night(LAST)
    assert rule in open_rules()
    (run,) = rows("runs")
    assert (run["status"], bool(run["error"])) == ("late", True)
    assert max(str(row["session"]) for row in rows("bar_versions")) == str(BEFORE)


def test_another_history_is_held_until_it_is_accepted(csv_file):
    lie = scaled(BARS, 0.926, columns=PRICES)
    held(lie, csv_file, r"median x0\.926.*--switch-source", "rebase_unexplained")
    ingest(accept=True)
    versions = [row["close"] for row in rows("bar_versions", session=str(BEFORE))]
    assert sorted(versions) == pytest.approx([lie["close"].iloc[-2], BARS["close"].iloc[-2]])
    assert open_rules() == []
