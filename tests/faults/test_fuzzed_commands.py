"""Command lines with values that nobody would mean: a result or one short paragraph, never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows import catch_up, cli, clock, nightly  # noqa: F401 - flows are imported before they are made plain
from tests.builders import LAST, random_bars, write_yahoo_csv
from tests.plain_flows import without_prefect

NOW = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
LONGEST = 2000
"""Characters of an error: one paragraph."""

TEXTS = st.text(max_size=40) | st.sampled_from(
    ["", " ", "\x00", "\x1b[31m", "../..", "a" * 5000, "'; DROP TABLE runs;--"]
)
DATES = st.dates(date(1900, 1, 1), date(2200, 1, 1)).map(str) | st.sampled_from(
    [str(LAST), "2024-03-07", "2024-03-09", "0001-01-01", "9999-12-31", "2024-02-30", "today", "", "20240308"]
)
SYMBOLS = st.sampled_from(["TEST", "SBUX", "sbux", "^GSPC", "BRK.B", "A" * 16, "", "VOD.L", "X" * 400]) | TEXTS
TARGETS = st.sampled_from(["volume", "close", "range", "volumes", ""]) | TEXTS
URLS = st.sampled_from(
    ["sqlite:///x.db", "sqlite://", "postgresql://u:p@127.0.0.1:1/x", "mysql://x", "", "x", "postgresql://a@b@c/d"]
)
NUMBERS = st.integers(-5, 10**12).map(str) | TEXTS


# Threads that Prefect has left in this process draw random numbers; Hypothesis takes them for the strategies'.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),  # for the message of the one above
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ledger with one night, and files that are no bars."""
    place = tmp_path_factory.mktemp("fuzzed")
    write_yahoo_csv(random_bars(days=560, seed=3, last=LAST), place / "TEST.csv")
    (place / "empty.csv").write_bytes(b"")
    (place / "noise.csv").write_bytes(bytes(range(256)) * 40)
    (place / "noise.parquet").write_bytes(bytes(range(256)) * 40)
    (place / "header.csv").write_text("Date,Open,High,Low,Close,Volume\n")
    (place / "year.csv").write_text("Date,Open,High,Low,Close,Volume\n9999-99-01,1,1,1,1,1\n1022-01-03,1,1,1,1,1e400\n")
    os.mkfifo(place / "pipe.csv")
    return place


@contextmanager
def as_command(folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    kept = dict(os.environ)
    given = {"DATA_DIR": folder / "data", "SOURCE": f"csv:{folder / 'TEST.csv'}", "SYMBOLS": "TEST", "MEMBERS": 1}
    os.environ |= {f"FORECASTING_{name}": str(value) for name, value in {**given, "TRAIN_SESSIONS": 300}.items()}
    try:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["forecasting", *words])
            patch.setattr(clock, "now", lambda: NOW)
            patch.chdir(folder)
            without_prefect(patch.setattr)
            yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def run(folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code; whatever is not SystemExit is a failure of the test."""
    with as_command(folder, words, monkeypatch), pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    files = st.sampled_from(["TEST", "empty", "noise", "header", "year", "pipe", "missing"]).map(
        lambda name: f"csv:{name}.csv"
    )
    sources = files | st.sampled_from(
        ["parquet:noise.parquet", "csv:.", "csv:/proc/self/environ", "csv:", "yahooo", "sample:x", ""]
    )
    events = st.sampled_from(["csv:noise.csv", "csv:header.csv", "csv:missing.csv", "x", "", "csv:/dev/zero"])
    options = {
        "--symbol": SYMBOLS,
        "--target": TARGETS,
        "--source": sources,
        "--events": events,
        "--as-of": DATES,
        "--mode": st.sampled_from(["auto", "warm", "skip", "fast", ""]),
        "--from": DATES,
        "--to": DATES,
        "--refit-every": NUMBERS,
        "--workers": NUMBERS,
        "--out": st.sampled_from(["page.html", "/", ".", "", "a/b/c.html", "/proc/x.html", "x" * 300]),
        "--database-url": URLS,
        "--json": st.just(None),
    }
    of_command = {
        "run": ["--symbol", "--target", "--source", "--events", "--as-of", "--mode", "--database-url", "--json"],
        "ingest": ["--symbol", "--source", "--as-of", "--database-url"],
        "catch-up": ["--from", "--to", "--symbol", "--target", "--source", "--refit-every", "--database-url"],
        "backtest": ["--symbol", "--target", "--source", "--events", "--refit-every", "--workers"],
        "show": ["--symbol", "--target", "--database-url", "--json"],
        "report": ["--symbol", "--target", "--out", "--database-url"],
        "check": ["--symbol", "--target", "--database-url"],
        "replay": ["--symbol", "--target", "--to", "--database-url"],
        "models list": ["--symbol", "--target", "--json"],
        "models rollback": ["--symbol", "--target"],
        "db current": ["--database-url"],
        "export": ["--symbol", "--target", "--as-of", "--database-url"],
    }
    command = draw(st.sampled_from([*of_command, "models show", "models promote", "db upgrade", "db downgrade"]))
    words = command.split()
    for option in draw(st.lists(st.sampled_from(of_command.get(command, ["--database-url"])), max_size=4, unique=True)):
        value = draw(options[option])
        words += [option] if value is None else [option, value]
    if command == "backtest":
        words += ["--from", draw(DATES), "--to", draw(DATES)]
    if command == "export":
        out = st.sampled_from(["x.csv", "x.parquet", "x.txt", "", ".csv", "a/b.csv", "/proc/x.csv", "x" * 300 + ".csv"])
        forms = st.sampled_from(["latest", "history", "bars", "hubverse", "nixtla", "", "all"])
        words += [draw(forms), "--out", draw(out)]
    if command in ("models show", "models promote", "db upgrade", "db downgrade"):
        words.append(draw(TEXTS | st.sampled_from(["head", "0009", "..", "3aad43eeeedd", "-1"])))
    return words


def check_commands(
    examples: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, ["db", "upgrade"], monkeypatch) == 0
    assert run(folder, ["run"], monkeypatch) == 0

    @settings(
        max_examples=examples, deadline=60_000, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )
    @given(command_lines())
    def each(words: list[str]) -> None:
        if any("\x00" in word for word in words):  # no shell can pass one
            words = [word.replace("\x00", "") for word in words]
        capfd.readouterr()
        code = run(folder, words, monkeypatch)
        shown = capfd.readouterr()
        assert code in (0, 1, 2, 3, 4), words
        assert "Traceback" not in shown.out + shown.err, words
        if code:
            assert shown.err.strip(), words
            assert len(shown.err.strip()) <= LONGEST, words

    each()


@pytest.mark.slow
def test_no_command_line_ends_in_a_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    check_commands(60, folder, monkeypatch, capfd)


@pytest.mark.campaign
def test_of_two_thousand_command_lines_none_ends_in_a_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    check_commands(2000, folder, monkeypatch, capfd)
