"""Damage to everything that a person or another program writes.

Each case ends in what the input states, by an independent, plainer reading, or in one paragraph.
"""

import copy
import csv
import io
import os
import random
import re
import signal
import sys
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from flows import cli, clock, nightly
from forecasting.errors import ForecastingError, SourceError, UnexpectedError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import check_bars, no_bars
from forecasting.ingest.sources import Request
from forecasting.ingest.sources.files import Files
from forecasting.ingest.sources.yahoo import Yahoo
from tests.builders import LAST, random_bars, set_small_night, write_yahoo_csv
from tests.yahoo_stand_in import StandIn, asked_here

AT = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
BARS = random_bars(days=120, seed=3).round(4)
NUMBERS = ["open", "high", "low", "close", "volume"]

LONGEST = 2000
"""Characters of an error: one paragraph."""

LONGEST_CASE_S = 120
"""Seconds after which a case counts as one that hangs; beside other work a whole night takes
twenty."""

TOKENS = (
    b"", b"-1", b"1e308", b"1e-320", b"1e400", b"nan", b"-inf", b"1_000", b"1,5", b"9" * 25, b"None", b"true", b'"',
    b",,", b";", b"\t", b"\r", b"\n\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\xd9\xa1",
    b"2024-02-30", b"0001-01-01", b"9999-12-31", b".", b" ", b"#",
)  # fmt: skip
"""Texts that readers of numbers, dates and tables treat in ways of their own."""

ODD_JSON: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e308, 10**30, float("nan"), float("inf"), "", "x", "..", "volume", "2024-03-08",
    "a" * 5000, "\x1b[31m\n<b>", "'; DROP TABLE runs;--", [], {}, [None], ["TEST"], {"raw": 1},
)  # fmt: skip
"""Values that JSON can have in place of another one."""


class Place(NamedTuple):
    """A folder with TEST.csv, the URL of a migrated ledger without a row, and the settings of small
    nights on both."""

    folder: Path
    url: str
    patch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]
    stack: ExitStack


@pytest.fixture
def place(tmp_path, sqlite_url, plain_flows, monkeypatch, capfd):
    write_yahoo_csv(random_bars(days=560, seed=3, last=LAST), tmp_path / "TEST.csv")
    set_small_night(monkeypatch, tmp_path, sqlite_url, train_sessions=300)
    monkeypatch.setattr(clock, "now", lambda: AT)
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    with ExitStack() as stack:
        yield Place(tmp_path, sqlite_url, monkeypatch, capfd, stack)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def ended(call):
    """What the call returns, or the error of ours that it raises: one paragraph."""
    try:
        return call()
    except UnexpectedError:
        raise
    except ForecastingError as error:
        text = str(error)
        assert 20 < len(text) <= LONGEST, text
        assert "\n" not in text, text
        assert "hunter2" not in text, text
        return error


def damaged(content, chosen):
    """`content` after one to three small faults: a part lost, doubled or replaced, odd texts."""
    for _ in range(chosen.choice((1, 1, 1, 2, 3))):
        start = chosen.randrange(len(content) + 1)
        end = start + chosen.choice((0, 1, 2, 6, 12, len(content) // 10))
        kinds = (b"", chosen.randbytes(1), content[start:end] * 2, chosen.choice(TOKENS))
        rest = chosen.choice((content[end:], content[end:], content[end:], b""))
        content = content[:start] + chosen.choice(kinds) + rest
    return content


def altered(document, chosen):
    """A JSON document after one or two faults: a part lost, of other size, order or type."""
    document = copy.deepcopy(document)
    for _ in range(chosen.choice((1, 1, 2))):
        within, key = chosen.choice(list(_parts(document)))
        value = within[key]
        others = [chosen.choice(ODD_JSON)]
        if isinstance(value, list):
            others += [value[::-1], value[: len(value) // 2], value * 2]
        if isinstance(value, int | float):
            others += [-value, value * 100, value * 1e300]
        within[key] = chosen.choice(others)
        if chosen.random() < 0.2 and len(document) > 1:
            del within[key]
    return document


def _parts(part):
    """Every part of a document, by what it is in and its key there; but few of a long list."""
    keys = list(part) if isinstance(part, dict) else []
    if isinstance(part, list):
        keys = sorted({*range(len(part))[:3], *range(len(part))[-3:]})
    for key in keys:
        yield part, key
        yield from _parts(part[key])


def check_stated(bars, stated):
    """Each bar has the numbers of a row that is stated for its day."""
    for day, numbers in zip(bars.index, bars[NUMBERS].to_numpy(dtype=float), strict=True):
        rows = stated.get(str(day)[:10], [])
        assert any(np.array_equal(numbers, row, equal_nan=True) for row in rows), day


DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")


def number(cell):
    """The cell as Python reads it; 0 and what is no number are NaN."""
    try:
        return float(re.sub(r'^"(.*)"$', r"\1", cell).strip()) or np.nan
    except ValueError:
        return np.nan


def rows_of_text(text):
    """By day, the five numbers of each line, read once with and once without a meaning of quotes."""
    found = {}
    plain = (line.split(",") for line in re.split("\r\n?|\n", text))
    for lines in (csv.reader(io.StringIO(text, newline="")), plain):
        with suppress(csv.Error):
            header = [cell.strip().strip('"').lower() for cell in next(iter(lines), [])]
            for cells in lines:
                named = dict(zip(header, cells, strict=False))
                day = DAY.fullmatch(named.get("date", "").strip().strip('"'))
                if day and len(cells) >= len(header) and not any(cells[len(header) :]):
                    row = [number(named.get(name, "x")) for name in NUMBERS]
                    row[4] = row[4] if abs(row[4]) > 0.5 else np.nan  # the ledger has whole shares
                    found.setdefault(day[1], []).append(row)
    return found


def csv_of_bars(place):
    """Every session that is missing has a finding."""
    path = place.folder / "bars.csv"
    write_yahoo_csv(BARS, path)
    sound = path.read_bytes()

    def read():
        fetched = Files("csv", path).fetch(
            Request("csv", "TEST", BARS.index[0].date(), BARS.index[-1].date())
        )
        return fetched, *check_bars(fetched, known=no_bars())

    def attempt(chosen):
        path.write_bytes(content := damaged(sound, chosen))
        answer = ended(read)
        if isinstance(answer, ForecastingError):
            return
        fetched, bars, findings = answer
        check_stated(bars, rows_of_text(content.decode("utf-8-sig", errors="replace")))
        sessions = BARS.index[BARS.index > fetched.bars.index[0]]
        lost = {day.date() for day in sessions.difference(bars.index)}
        assert lost <= {finding.session for finding in findings}
        assert len(fetched.actions) == 0, fetched.actions  # the sound file has no dividend

    return attempt


def rows_of_chart(answer):
    """By day of the answer's own time zone, the five numbers of each of its rows."""
    result = answer["chart"]["result"][0]
    zone = result["meta"]["exchangeTimezoneName"]
    quote = result["indicators"]["quote"][0]
    found = {}
    for at, second in enumerate(result["timestamp"]):
        # No day, no number
        with suppress(ValueError, OverflowError, TypeError, IndexError, KeyError):
            row = [number_of(quote[name], at) for name in NUMBERS]
            # yfinance makes whole numbers of volumes; 0 is unknown
            row[4] = np.trunc(row[4]) or np.nan
            found.setdefault(day_of(second, zone), []).append(row)
    return found


def day_of(second, zone):
    if isinstance(second, str):
        instant = datetime.fromisoformat(second).replace(tzinfo=UTC)
    else:
        instant = datetime.fromtimestamp(second, UTC)
    return str(instant.astimezone(ZoneInfo(zone if isinstance(zone, str) else "UTC")).date())


def number_of(column, at):
    """One number in place of a list is that of every row, as pandas reads it."""
    cell = column[at] if isinstance(column, list) else column
    return np.nan if cell is None else float(cell)


def chart_of_yahoo(place):
    bars = BARS.iloc[-60:]
    actions = make_actions([(bars.index[20], "dividend", 0.5), (bars.index[40], "split", 2.0)])
    served = place.stack.enter_context(asked_here(StandIn(bars, actions), place.patch.setattr))
    sound = served.chart("SBUX", 0, 2**40, None)
    source = Yahoo(place.folder, timeout_s=15.0)

    def accepted():
        fetched = source.fetch(Request("csv", "SBUX", bars.index[0].date(), bars.index[-1].date()))
        return check_bars(fetched, known=no_bars())[0]

    def attempt(chosen):
        answer = altered(sound, chosen)
        place.patch.setattr(served, "chart", lambda *asked: answer)
        taken = ended(accepted)
        if isinstance(taken, ForecastingError):
            assert isinstance(taken, SourceError)
        else:
            check_stated(taken, rows_of_chart(answer))

    return attempt


def odd_text(text, chosen):
    """The text, or a damaged or quite another one.

    Without NUL, which no environment and no command line can hold.
    """
    content = text.encode()
    others = (content, damaged(content, chosen), chosen.choice(TOKENS), content * 200)
    return chosen.choice(others).decode(errors="replace").replace("\0", "")


DATES = (str(LAST), "2024-03-09", "0001-01-01", "9999-12-31", "2024-02-30", "today", "")
WORDS: dict[str, tuple[str, ...]] = {
    "--symbol": ("TEST", "sbux", "^GSPC", "BRK.B", "", "VOD.L", "X" * 400),
    "--target": ("volume", "range", "all", "volume,range", "volumes", ""),
    "--source": ("csv:TEST.csv", "csv:noise", "csv:year", "csv:pipe", "csv:missing", "parquet:noise", "csv:.", "yahooo"),
    "--events": ("csv:noise", "csv:year", "csv:missing", "csv:/etc/shadow", "csv:/dev/zero", "sample"),
    "--as-of": DATES,
    "--from": DATES,
    "--to": DATES,
    "--mode": ("auto", "warm", "skip", "fast", ""),
    "--refit-every": ("-5", "0", "3", "1000000000000"),
    "--workers": ("-5", "0", "1", "1000000000000", ""),
    "--out": ("page.html", "x.csv", "x.parquet", "/", "", "a/b/c.html", "/proc/x.csv", "x" * 300 + ".csv"),
    "--database-url": ("sqlite:///x.db", "sqlite://", "postgresql://u:p@127.0.0.1:1/x", "mysql://x", "x"),
    "FORM": ("latest", "totals", "history", "bars", "nixtla", ""),
    "ID": ("head", "0009", "..", "3aad43eeeedd", "-1", "'; DROP TABLE runs;--", "../.."),
}  # fmt: skip
COMMANDS = (
    "run --symbol --target --source --events --as-of --mode --database-url",
    "catch-up --from --to --symbol --target --source --refit-every --database-url",
    "backtest --from --to --symbol --target --source --events --refit-every --workers",
    "show --symbol --target --database-url",
    "report --symbol --target --out --database-url",
    "check --symbol --target --database-url",
    "verify --symbol --target --to --database-url",
    "models list --symbol --target",
    "models show ID",
    "models withdraw ID",
    "db upgrade ID --database-url",
    "db downgrade ID --database-url",
    "export FORM --out --symbol --target --as-of --database-url",
)


def words_of(command, chosen):
    """The words of a command with some of its options, their values odd."""
    words = []
    for part in command.split():
        if part.startswith("--") and chosen.random() < 0.4:
            continue
        if part in WORDS:
            value = odd_text(chosen.choice(WORDS[part]), chosen)
            words += [part, value] if part.startswith("--") else [value]
        else:
            words.append(part)
    return words


def command_lines(place):
    (place.folder / "noise").write_bytes(bytes(range(256)) * 40)
    (place.folder / "year").write_text(
        "Date,Open,High,Low,Close,Volume\n9999-99-01,1,1,1,1,1\n1022-01-03,1,1,1,1,1e400\n"
    )
    os.mkfifo(place.folder / "pipe")
    nightly.nightly()

    def attempt(chosen):
        words = words_of(chosen.choice(COMMANDS), chosen)
        place.patch.setattr(sys, "argv", ["forecasting", *words])
        place.capfd.readouterr()
        with mock.patch.dict(os.environ), pytest.raises(SystemExit) as left:
            cli.main()
        shown = place.capfd.readouterr()
        code = left.value.code or 0
        assert code in (0, 1, 2, 3, 4), words
        assert "Traceback" not in shown.out + shown.err, words
        assert code == 0 or 0 < len(shown.err.strip()) <= LONGEST, words

    return attempt


BOUNDARIES = (
    (csv_of_bars, (25, 8_000)),
    (chart_of_yahoo, (40, 5_000)),
    pytest.param(command_lines, (30, 2_000), marks=pytest.mark.slow),
)
"""What is damaged, with the number of cases of `make test` and of a campaign."""


@pytest.mark.parametrize("of_campaign", [False, pytest.param(True, marks=pytest.mark.campaign)])
@pytest.mark.parametrize(("boundary", "cases"), BOUNDARIES)
def test_damage_gives_what_the_input_states_or_one_paragraph(boundary, cases, of_campaign, place):
    attempt = boundary(place)
    for number in range(cases[of_campaign]):
        signal.alarm(LONGEST_CASE_S)
        try:
            attempt(random.Random(number))
        except BaseException as error:
            error.add_note(f"case {number}")
            raise
