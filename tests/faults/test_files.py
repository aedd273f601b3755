"""Files that a flow parameter may name, and those that it may not."""

import pandas as pd
import pytest

from flows import backtest, clock, nightly
from flows.parameters import narrowed
from forecasting.errors import UsageError
from tests.builders import LAST
from tests.nights import counts

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def csv_file(night_folder, csv_of_bars, plain_flows, monkeypatch):
    """A file of sound bars without a symbol column, and settings of a small night that read it."""
    monkeypatch.setattr(clock, "now", lambda: pd.Timestamp("2024-03-09T10:30Z").to_pydatetime())
    return csv_of_bars


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
