from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from unittest.mock import Mock

import pytest

from forecasting import sessions
from forecasting.errors import UsageError
from forecasting.pipeline.plan import check_permitted, narrowed, run_name, subject_of

SATURDAY = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def settings_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,VOD.L")


def test_a_parameter_overrides_its_setting_and_an_invalid_one_is_refused_by_name(tmp_path: Path) -> None:
    settings = narrowed(symbols=["MSFT"], target=None, source="yahoo")
    assert (settings.symbols, settings.target, settings.source) == (("MSFT",), "volume", "yahoo")
    with pytest.raises(UsageError, match=r"^Invalid flow parameter\. target: ") as refused:
        narrowed(target="volumes")
    assert "volumes'" not in str(refused.value)
    with pytest.raises(UsageError, match="FORECASTING_FILES"):
        narrowed(source=f"csv:{tmp_path / 'elsewhere.csv'}")


def test_parameters_are_checked_beside_a_file_with_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "forecasting_database_url").write_text("sqlite:////srv/ledger.db")
    monkeypatch.setenv("FORECASTING_SECRETS_DIR", str(tmp_path))
    assert narrowed(symbols=["MSFT"]).url == "sqlite:////srv/ledger.db"


@pytest.mark.parametrize(
    ("flow", "given", "name"),
    [
        ("nightly", {"as_of": "2024-03-07"}, "nightly-SBUX+VOD.L-volume-2024-03-07"),
        ("catch-up", {"symbols": ["MSFT"], "last": "2024-03-06"}, "catch-up-MSFT-volume-2024-03-06"),
        ("nightly", {"symbols": ["MSFT"], "target": "close"}, "nightly-MSFT-close-2024-03-08"),
        (
            "backtest",
            {"symbol": None, "first": "2023-01-03", "last": "2023-12-29"},
            "backtest-SBUX-volume-2023-01-03-2023-12-29",
        ),
        ("nightly", {"symbols": ["A" * 10_000]}, f"nightly-{'A' * 92}"),
    ],
)
def test_a_run_is_named_by_flow_symbols_target_and_its_newest_completed_session(
    flow: str, given: dict[str, object], name: str
) -> None:
    shown = run_name(flow, given, now=lambda: SATURDAY)
    assert shown == name or len(shown) == 100


def test_a_run_is_named_after_its_day_where_the_exchange_of_its_first_symbol_has_no_calendar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "calendar", Mock(side_effect=UsageError("The calendar XTAE cannot be made.")))
    assert run_name("nightly", {"symbols": ["TEVA.TA"]}, now=lambda: SATURDAY).endswith("-2024-03-09")


def test_a_message_about_a_run_names_few_symbols_and_counts_many() -> None:
    assert subject_of({"symbols": None, "target": None}) == ("SBUX+VOD.L", "volume")
    assert subject_of({"symbols": ["MSFT"], "target": "close"}) == ("MSFT", "close")
    assert subject_of({"symbols": ["A", "B", "C", "D"]})[0] == "A+3-others"
    assert [subject_of({"symbol": symbol})[0] for symbol in (None, "MSFT")] == ["SBUX", "MSFT"]


OWN = ["csv:/own/SBUX.csv", "csv:/own/earnings.csv"]


def check(text: str, folder: Path, kind: Literal["source", "events"] = "source") -> None:
    check_permitted(text, kind=kind, given=OWN, folders=[folder])


def test_names_the_environments_own_and_files_of_the_folder_are_permitted(tmp_path: Path) -> None:
    for text in ("yahoo", "sample", "house", *OWN, f"csv:{tmp_path}/a/bars.csv", f"parquet:{tmp_path}/bars.parquet"):
        check(text, tmp_path)
    check(f"csv:{tmp_path}/earnings.csv", tmp_path, "events")


@pytest.mark.parametrize("kind", ["source", "events"])
def test_other_files_are_refused_by_the_same_words_whether_they_exist_or_not(
    tmp_path: Path, kind: Literal["source", "events"]
) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "link.csv").symlink_to("/etc/passwd")
    (tmp_path / "sources2").mkdir()
    texts = ["/etc/passwd", "/etc/none", "/proc/self/environ", f"{folder}/../x.csv", f"{folder}/link.csv"]
    messages = set()
    for text in [f"csv:{path}" for path in [*texts, f"{tmp_path}/sources2/x.csv", "a" * 9999, "a\0b"]]:
        with pytest.raises(UsageError, match=f"inside FORECASTING_FILES.*{folder}") as caught:
            check(text, folder, kind)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_an_installed_source_takes_its_argument_from_the_environment_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="an argument that FORECASTING_SOURCE does not have"):
        check("house:http://10.0.0.1", tmp_path)
