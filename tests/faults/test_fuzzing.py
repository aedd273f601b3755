"""Damage to everything that a person or another program writes.

What it states is taken from it, or one paragraph.

What was taken is compared with an independent, plainer reading of the same input.
"""

import copy
import csv
import hashlib
import io
import json
import os
import pickle
import random
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import torch
from curl_cffi.requests import Response, Session
from safetensors import SafetensorError

import forecasting as fc
from flows import cli, clock, nightly
from forecasting.errors import ForecastingError, SourceError, UnexpectedError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import check_bars, no_bars
from forecasting.ingest.event_files import read_events_csv
from forecasting.ingest.sources import Fetched, UnreadableRow, canonical, plugins, yahoo
from forecasting.ingest.sources.files import Files
from forecasting.ingest.sources.yahoo import Yahoo
from forecasting.night.run import ingest_only
from forecasting.settings import Settings, read_settings
from forecasting.train import checkpoint as checkpoints
from tests.builders import LAST, random_bars, set_small_night, write_yahoo_csv
from tests.train.windows import scratch_fit
from tests.yahoo_stand_in import StandIn, forget_yahoo

AT = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
BARS = random_bars(days=120, seed=3).round(4)
NUMBERS = ("open", "high", "low", "close", "volume")

LONGEST = 2000
"""Characters of an error: one paragraph."""

LONGEST_CASE_S = 120
"""Seconds after which a case counts as one that hangs; beside other work a whole night takes
twenty."""

TOKENS = (
    *(
        b"",
        b"0",
        b"-0",
        b"-1",
        b"1e308",
        b"1e-320",
        b"1e400",
        b"nan",
        b"inf",
        b"-inf",
        b"1_000",
        b"0x10",
        b"1,5",
    ),
    *(
        b"9" * 25,
        b"null",
        b"None",
        b"true",
        b"NaT",
        b'"',
        b'""',
        b"'",
        b",",
        b",,",
        b";",
        b"\t",
        b"\r",
        b"\r\n",
    ),
    *(
        b"\n",
        b"\n\n",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xae",
        b"\xc3\xa9",
        b"\xd9\xa1",
        b"2024-02-30",
    ),
    *(
        b"0001-01-01",
        b"9999-12-31",
        b"2024-03-08",
        b"1e",
        b"1.5.5",
        b"1e5",
        b"+7",
        b".",
        b"-",
        b"5e-1",
        b" ",
        b"#",
    ),
)
"""Texts that readers of numbers, dates and tables treat in ways of their own."""

ODD_JSON: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**63, 10**30, 1.5, 1e308, -0.0, float("nan"), float("inf"), -(10**10),
    "", "x", "..", "1.5", "UTC", "Mars/Olympus", "GBp" * 90, "volume", "close", "2024-03-08", "9999-99-99", "a" * 5000,
    "\x1b[31m\n", [], {}, [None], [[]], [1, 2], ["x"], [0.0], [1e308] * 3, {"x": 1}, {"raw": 1}, 253402300800,
)  # fmt: skip
"""Values that JSON can have in place of another one."""

ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        1.5,
        float("nan"),
        10**30,
        "",
        " ",
        "x",
        "TEST",
        "a" * 5000,
        "'; DROP TABLE runs;--",
        b"TEST",
    ),
    *(
        [],
        ["TEST"],
        ("TEST",),
        {"a": 1},
        {"TEST"},
        object(),
        len,
        "\x00",
        "\x1b[31m\n<b>",
        "\udcff",
        Path("x"),
        "..",
    ),
    *(
        date(2024, 3, 8),
        date(1, 1, 1),
        date(9999, 12, 31),
        pd.Timestamp("2024-03-08 12:00").to_pydatetime(),
        AT,
        "/",
    ),
    *(
        pd.NaT,
        pd.NA,
        pd.Timestamp("2024-03-08"),
        pd.Timestamp("2024-03-08", tz="UTC"),
        np.datetime64("2024-03-08"),
    ),
    *(
        np.float64("nan"),
        np.array([1, 2]),
        pd.Series(["TEST"]),
        pd.DataFrame({"a": [1]}),
        pd.DataFrame(),
        BARS,
    ),
    *("USD", "volume", (UnreadableRow(LAST, 1, "x"),), lambda: AT, lambda: "now"),
)
"""What Python code may pass or return in place of what was asked for."""


class Place(NamedTuple):
    """A folder with TEST.csv, the URL of a migrated ledger without a row, and the settings of small
    nights on both."""

    folder: Path
    url: str
    patch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path, sqlite_url, plain_flows, monkeypatch, capfd):
    write_yahoo_csv(random_bars(days=560, seed=3, last=LAST), tmp_path / "TEST.csv")
    set_small_night(monkeypatch, tmp_path, sqlite_url, train_sessions=300)
    monkeypatch.setattr(clock, "now", lambda: AT)
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield Place(tmp_path, sqlite_url, monkeypatch, capfd)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    forget_yahoo()


def ended(call):
    """What the call returns, or the error of ours that it raises.

    Any other error is a failure of the test.
    """
    try:
        return call()
    except UnexpectedError:
        raise
    except ForecastingError as error:
        text = str(error)
        assert 20 < len(text) <= LONGEST, text
        assert "\n" not in text, text
        assert "Traceback" not in text, text
        return error


def damaged(content, chosen):
    """`content` after one to three small faults.

    A flipped bit, a part lost, doubled or replaced, odd texts.
    """
    for _ in range(chosen.choice((1, 1, 1, 2, 3))):
        at, start = (chosen.randrange(len(content) + 1) for _ in range(2))
        end = start + chosen.choice((1, 2, 6, 12, max(1, len(content) // 10)))
        token = chosen.choice(TOKENS)
        flipped = bytes(byte ^ 1 << chosen.randrange(8) for byte in content[at : at + 1])
        content = chosen.choice(
            (
                content[:at] + flipped + content[at + 1 :],
                content[:start] + content[end:],
                content[:at] + content[start:end] + content[at:],
                content[:at] + token + content[at:],
                content[:start] + token + content[end:],
                content[:at],
            )
        )
    return content


def altered(document, chosen):
    """A JSON document after one or two faults.

    A part lost, doubled, out of order, of other size or type.
    """
    document = copy.deepcopy(document)
    for _ in range(chosen.choice((1, 1, 2))):
        *path, last = chosen.choice(list(_places(document)))
        part = reduce(lambda within, key: within[key], path, document)
        value = part[last]
        change = chosen.randrange(4)
        odd = chosen.choice(ODD_JSON)
        if change == 0 and len(document) > 1:
            del part[last]
        elif change == 1 and isinstance(value, list):
            part[last] = chosen.choice(
                (chosen.sample(value, len(value)), value[: len(value) // 2], value * 2)
            )
        elif change == 2 and isinstance(value, int | float):
            part[last] = value * chosen.choice((-1, 0, 100, 0.001, 1e300))
        else:
            part[last] = odd
    return document


def _places(part, path=()):
    """The way to every part of a document, but to few of the numbers of one list."""
    if path:
        yield path
    if isinstance(part, dict):
        for key, inner in part.items():
            yield from _places(inner, (*path, key))
    elif isinstance(part, list):
        for key in sorted({*range(len(part))[:3], *range(len(part))[-3:]}):
            yield from _places(part[key], (*path, key))


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
    plain = (re.split(",", line) for line in re.split("\r\n?|\n", text))
    for lines in (csv.reader(io.StringIO(text, newline="")), plain):
        with suppress(csv.Error):
            header = [cell.strip().strip('"').lower() for cell in next(iter(lines), [])]
            for cells in lines:
                named = dict(zip(header, cells, strict=False))
                day = DAY.fullmatch(named.get("date", "").strip().strip('"'))
                if day and len(cells) >= len(header) and not any(cells[len(header) :]):
                    found.setdefault(day[1], []).append(
                        tuple(number(named.get(name, "x")) for name in NUMBERS)
                    )
    return found


def csv_of_bars(place):
    """Every bar has the numbers of a row of its day, and every session that is missing has a
    finding."""
    path = place.folder / "bars.csv"
    write_yahoo_csv(BARS, path)
    sound = path.read_bytes()

    def read():
        fetched = Files("csv", path).fetch("TEST", BARS.index[0].date(), BARS.index[-1].date())
        return fetched, *check_bars(fetched, exchange="XNYS", known=no_bars())

    def attempt(chosen):
        path.write_bytes(content := damaged(sound, chosen))
        stated = rows_of_text(content.decode("utf-8-sig", errors="replace"))
        answer = ended(read)
        if isinstance(answer, ForecastingError):
            return
        fetched, bars, findings = answer
        for day, numbers in zip(
            fetched.bars.index, fetched.bars[list(NUMBERS)].to_numpy(), strict=True
        ):
            numbers = np.where(numbers == 0.0, np.nan, numbers)
            # The ledger has whole shares.
            of_day = [
                row if abs(row[-1]) >= 0.5 else (*row[:-1], np.nan)
                for row in stated.get(str(day.date()), [])
            ]
            assert any(np.array_equal(numbers, row, equal_nan=True) for row in of_day), day
        lost = {
            day.date()
            for day in BARS.index[BARS.index > fetched.bars.index[0]].difference(bars.index)
        }
        assert lost <= {finding.session for finding in findings}
        assert len(fetched.actions) == 0, fetched.actions  # the sound file has no dividend

    return attempt


def earnings_dates(place):
    path = place.folder / "events.csv"
    days = [date(2019, 3, 8) + timedelta(days=91 * at) for at in range(20)]
    rows = [
        f"{day},{('amc', 'bmo', '')[at % 3]},{day - timedelta(days=20)}"
        for at, day in enumerate(days)
    ]
    sound = "\n".join(["announced,timing,first_seen_at", *rows, ""]).encode()

    def attempt(chosen):
        path.write_bytes(content := damaged(sound, chosen))
        events = ended(lambda: read_events_csv(path))
        if not isinstance(events, ForecastingError):
            text = content.decode("utf-8-sig", errors="replace")
            cells = {cell.strip().strip('"').strip() for cell in re.split(r"[,\r\n]", text)}
            stated = {re.sub(r"[T ]\d\d:.*$", "", cell).replace("-", "") for cell in cells}
            assert {f"{day:%Y%m%d}" for day in events["announced"]} <= stated
            assert set(events["timing"]) <= {"amc", "bmo", ""}

    return attempt


class Program:
    """What runs a command when it is unpickled."""

    def __init__(self, made):
        self.made = made

    def __reduce__(self):
        return os.system, (f"touch {self.made}",)


@pytest.mark.parametrize("name", checkpoints.FILES)
@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_model_that_wants_to_run_code_is_refused_and_runs_none(name, write, tmp_path):
    folder = tmp_path / "a"
    checkpoints.save(scratch_fit(), folder)
    with (folder / name).open("wb") as file:
        write(Program(tmp_path / "made"), file)
    if name == "weights.safetensors":
        card = json.loads((folder / "model.json").read_bytes())
        card["weights_sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises((ValueError, SafetensorError)):
        checkpoints.load(folder, hashlib.sha256((folder / "model.json").read_bytes()).hexdigest())
    assert not (tmp_path / "made").exists()


class Canned(Session):
    """A session whose answer to a chart is `body`, and a crumb to anything else."""

    body = b""

    def request(self, method, url, *args, **kwargs):
        answer = Response()
        answer.status_code = 200
        answer.url = url
        answer.encoding = "utf-8"
        answer.content = self.body if "/v8/finance/chart/" in url else b"crumb"
        return answer


def rows_of_chart(body):
    """By day of the answer's own time zone, the five numbers of each of its rows.

    0 and None are unknown volumes.
    """
    result = json.loads(body)["chart"]["result"][0]
    zone = result["meta"]["exchangeTimezoneName"]
    quote = result["indicators"]["quote"][0]
    found = {}
    for at, second in enumerate(result["timestamp"]):
        with suppress(
            ValueError, OverflowError, TypeError, IndexError, KeyError
        ):  # no day, no number
            row = [number_of(quote[name], at) for name in NUMBERS]
            # yfinance makes whole numbers of volumes
            row[4] = np.trunc(row[4]) or np.nan
            found.setdefault(day_of(second, zone), []).append(tuple(row))
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
    with StandIn(bars, actions) as stand_in:
        sound = stand_in.chart("SBUX", 0, 2**40, None)
    forget_yahoo()
    session = Canned()
    source = Yahoo(place.folder, timeout_s=15.0)
    place.patch.setattr(yahoo, "SESSION", session)
    place.patch.setattr(yahoo, "PAUSE_S", 0.0)

    def accepted():
        fetched = source.fetch("SBUX", bars.index[0].date(), bars.index[-1].date())
        return check_bars(fetched, exchange="XNYS", known=no_bars())[0]

    def attempt(chosen):
        body = json.dumps(sound).encode()
        session.body = (
            damaged(body, chosen)
            if chosen.random() < 0.3
            else json.dumps(altered(sound, chosen)).encode()
        )
        answer = ended(accepted)
        if isinstance(answer, ForecastingError):
            assert isinstance(answer, SourceError)
            return
        stated = rows_of_chart(session.body)
        for day, row in zip(answer.index, answer[list(NUMBERS)].to_numpy(), strict=True):
            assert any(
                np.array_equal(row, one, equal_nan=True) for one in stated.get(str(day.date()), [])
            ), day

    return attempt


LONG = canonical(random_bars(days=620, seed=3, last=LAST))
SOUND = Fetched(
    "odd",
    "TEST",
    date(2021, 6, 1),
    LAST,
    LONG,
    make_actions([]),
    "odd 1.0",
    "TEST, daily",
    currency="USD",
)
OTHER_BARS: tuple[Callable[[str, float], Any], ...] = (
    lambda name, value: LONG.assign(**{name: LONG[name].where(np.arange(len(LONG)) != 400, value)}),
    lambda name, value: LONG.assign(**{name: value}),
    lambda name, value: LONG.assign(**{name: LONG[name].astype("str")}),
    lambda name, value: LONG.tz_localize("America/New_York"),
    lambda name, value: LONG.set_axis(LONG.index + pd.Timedelta(hours=5)),
    lambda name, value: LONG.set_axis(LONG.index - pd.Timedelta(days=40_000)),
    lambda name, value: LONG.iloc[::-1],
    lambda name, value: pd.concat([LONG, LONG.iloc[[300]]]),
    lambda name, value: LONG.set_axis(LONG.index.where(np.arange(len(LONG)) != 400, pd.NaT)),
    lambda name, value: LONG.drop(columns=name),
    lambda name, value: pd.concat([LONG, LONG[[name]]], axis=1),
    lambda name, value: LONG.drop(index=LONG.index[[400]]),
)


def odd_answer(chosen):
    """What a source does in place of its answer.

    Anything, an error, or a fetch with one part of another shape.
    """
    odd = chosen.choice(ODD)
    change = chosen.randrange(6)
    if change == 0:
        return lambda *asked: odd
    if change == 1:
        kind = chosen.choice(
            (ValueError, KeyError, OSError, AssertionError, RecursionError, StopIteration)
        )
        return lambda *asked: (_ for _ in ()).throw(kind("hunter2\n" * 300))
    value = chosen.choice((np.nan, np.inf, -np.inf, 0.0, -1.0, 0.5, 2.0, 1e300, 1e-300))
    day = chosen.choice((LONG.index[50], LONG.index[-1], pd.Timestamp("2030-01-02"), pd.NaT))
    rows = [(day, chosen.choice(("dividend", "split", "merger", None, "")), value)] * chosen.choice(
        (1, 1, 2)
    )
    actions = pd.DataFrame(rows, columns=["session", "kind", "value"])
    others = (actions, actions.assign(value="x"), actions.rename(columns={"kind": "type"}))
    changed = {
        2: {"actions": chosen.choice(others)},
        3: {chosen.choice(list(SOUND.__dataclass_fields__)): odd},
    }.get(change, {"bars": chosen.choice(OTHER_BARS)(chosen.choice(list(LONG.columns)), value)})
    return lambda symbol, first, last: replace(
        SOUND, **{"first_asked": first, "last_asked": last} | changed
    )


def installed_source(place):
    answers = {}

    class Odd:
        """The source of an installed package."""

        name = "odd"

        def __init__(self, argument):
            self.argument = argument

        def fetch(self, symbol, first, last):
            return answers["fetch"](symbol, first, last)

        def earnings_dates(self, symbol):
            return answers["earnings_dates"]()

    offer = SimpleNamespace(name="odd", value="odd_bars:Odd", dist=None, load=lambda: Odd)
    place.patch.setattr(plugins, "entry_points", lambda **asked: [offer])
    place.patch.setenv("FORECASTING_SOURCE", "odd:x")
    sound = Path(place.url.removeprefix("sqlite:///"))
    path = place.folder / "own.db"
    place.patch.setenv("FORECASTING_DATABASE_URL", f"sqlite:///{path}")

    def attempt(chosen):
        dates = chosen.choice((*ODD, pd.DataFrame({"announced": [AT], "timing": ["x"]})))
        answers.update(fetch=odd_answer(chosen), earnings_dates=lambda: dates)
        for left in place.folder.glob("own.db*"):
            left.unlink()
        shutil.copy(sound, path)
        settings = read_settings()
        answer = ended(
            lambda: ingest_only(
                settings, as_of=LAST, switch_source=False, now=lambda: AT
            ).raise_failed()
        )
        with closing(sqlite3.connect(path)) as connection:
            stored = connection.execute(
                f"SELECT session, {', '.join(NUMBERS)} FROM bar_versions"
            ).fetchall()
        if isinstance(answer, ForecastingError):
            assert stored == []
            return
        bars = answers["fetch"]("TEST", SOUND.first_asked, LAST).bars
        for day, *numbers in stored:
            wanted = bars.loc[pd.Timestamp(day), list(NUMBERS)].to_numpy(dtype=float, copy=True)
            wanted[4] = np.round(wanted[4]) or np.nan  # shares are whole
            np.testing.assert_array_equal(np.array(numbers, dtype=float), wanted)

    return attempt


VARIABLES: dict[str, tuple[str, ...]] = {
    "train_sessions": ("2500", "300"), "members": ("3", "32"), "seed": ("0", "2147483647"), "scratch_every": ("21",),
    "max_model_age": ("63",), "workers": ("2",), "shard_size": ("10",), "keep_artifacts": ("60",),
    "targets": ("volume", "close", "range", "volume,range", "all"),
    "source": ("yahoo", "csv:x.csv", "parquet:x.parquet", "sample", "house:x"),
    "events": ("csv:events.csv",),
    "alerts": ("median > 1.5 usual; width>3 usual; SBUX q90 > 20e6",),
    "market": ("none", "^VIX", "csv:VIX.csv", "parquet:a/vix.parquet"),
    "witness": ("csv:other.csv", "sample", "house:x"),
    "exchange": ("XNYS", "XLON", "24/7"),
    "exchanges": ("VOD=XLON,ES=F=CMES",),
    "cron": ("30 5 * * 2-6", "@daily", "0 6 * JAN-MAR MON#1"),
    "timezone": ("America/New_York", "UTC"),
    "late_until": ("09:00", "23:59:59"),
    "runner": ("local", "processes", "dask"),
    "dask_address": ("tcp://dask:8786",),
    "data_dir": ("data", "/tmp/x"),
    "files": ("/srv/a,/srv/b",),
    "pages_url": ("https://host.example:8443/reports/",),
    "database_url": ("sqlite:///x.db", "postgresql://me:hunter2@db:5432/x"),
    "notify": ("ntfys://me:hunter2@ntfy.sh/nights", "json://127.0.0.1:9/x"),
    "symbols": ("SBUX", "SBUX,MSFT, ^GSPC", "VOD.L"),
    "cost_ratio": ("3", "0.5"),
}  # fmt: skip


def odd_text(text, chosen):
    """The text, or a damaged or quite another one.

    Without NUL, which no environment and no command line can hold.
    """
    content = text.encode()
    found = chosen.choice(
        (content, content, damaged(content, chosen), chosen.choice(TOKENS), content * 200)
    )
    return os.fsdecode(found.replace(b"\0", b""))


def test_every_setting_is_tried():
    assert set(VARIABLES) == set(Settings.model_fields)


def read_usable():
    """The settings, each of which can be used."""
    settings = read_settings()
    used = (settings.url, settings.data_dir.absolute(), settings.market_choice)
    used += tuple(settings.exchange_of(symbol) for symbol in settings.symbols)
    assert len(settings.hash) == 12
    assert "hunter2" not in repr((settings, used[1:])) + settings.model_dump_json()
    return settings


def is_taken(value, text):
    """Whether a setting has the value of its text; one of another type is checked by its own tests."""
    if isinstance(value, tuple) and all(isinstance(part, str) for part in value):
        parts = [part.strip() for part in text.split(",")]
        return list(value) == list(dict.fromkeys(filter(None, parts)))
    if isinstance(value, float):
        return value == float(text)
    if isinstance(value, int):
        return value == Fraction(text.strip())
    if isinstance(value, str | Path | ZoneInfo):
        return str(value) in (text, text.rstrip("/"), str(Path(text)))
    return True


def variables(place):
    for name in [name for name in os.environ if name.startswith("FORECASTING_")]:
        place.patch.delenv(name)

    def attempt(chosen):
        names = chosen.sample(sorted(VARIABLES), chosen.choice((1, 1, 1, 2, 3)))
        given = {name: odd_text(chosen.choice(VARIABLES[name]), chosen) for name in names}
        with mock.patch.dict(
            os.environ, {f"FORECASTING_{name.upper()}": text for name, text in given.items()}
        ):
            settings = ended(read_usable)
        if isinstance(settings, ForecastingError):
            assert "hunter2" not in str(settings)
            return
        for name in [name for name in names if given[name]]:  # an empty one counts as not set
            assert is_taken(getattr(settings, name), given[name]), name

    return attempt


DATES = (
    str(LAST),
    "2024-03-07",
    "2024-03-09",
    "0001-01-01",
    "9999-12-31",
    "2024-02-30",
    "today",
    "",
    "20240308",
)
FILES = tuple(
    f"csv:{name}.csv" for name in ("TEST", "empty", "noise", "header", "year", "pipe", "missing")
)
WORDS: dict[str, tuple[str, ...]] = {
    "--symbol": ("TEST", "SBUX", "sbux", "^GSPC", "BRK.B", "A" * 16, "", "VOD.L", "X" * 400),
    "--target": ("volume", "close", "range", "all", "volume,range", "volumes", ""),
    "--source": (*FILES, "parquet:noise.parquet", "csv:.", "csv:/proc/self/environ", "csv:../../x", "yahooo"),
    "--events": ("csv:noise.csv", "csv:header.csv", "csv:missing.csv", "csv:/etc/shadow", "csv:/dev/zero", "sample"),
    "--as-of": DATES,
    "--from": DATES,
    "--to": DATES,
    "--mode": ("auto", "warm", "skip", "fast", ""),
    "--refit-every": ("-5", "0", "3", "21", "1000000000000"),
    "--workers": ("-5", "0", "1", "1000000000000", ""),
    "--out": ("page.html", "x.csv", "x.parquet", "/", ".", "", "a/b/c.html", "/proc/x.csv", "x" * 300 + ".csv"),
    "--database-url": ("sqlite:///x.db", "sqlite://", "postgresql://u:p@127.0.0.1:1/x", "mysql://x", "x", "postgresql://a@b@c/d"),
    "FORM": ("latest", "totals", "history", "bars", "hubverse", "nixtla", "", "all"),
    "ID": ("head", "0009", "..", "3aad43eeeedd", "-1", "'; DROP TABLE runs;--", "../.."),
}  # fmt: skip
COMMANDS = (
    "run --symbol --target --source --events --as-of --mode --database-url",
    "ingest --symbol --source --as-of --database-url",
    "catch-up --from --to --symbol --target --source --refit-every --database-url",
    "backtest --from --to --symbol --target --source --events --refit-every --workers",
    "show --symbol --target --database-url",
    "report --symbol --target --out --database-url",
    "check --symbol --target --database-url",
    "verify --symbol --target --to --database-url",
    "models list --symbol --target",
    "models rollback --symbol --target",
    "models show ID",
    "models promote ID",
    "db current --database-url",
    "db upgrade ID --database-url",
    "db downgrade ID --database-url",
    "export FORM --out --symbol --target --as-of --database-url",
)


def command_lines(place):
    (place.folder / "empty.csv").write_bytes(b"")
    for name in ("noise.csv", "noise.parquet"):
        (place.folder / name).write_bytes(bytes(range(256)) * 40)
    header = "Date,Open,High,Low,Close,Volume\n"
    (place.folder / "header.csv").write_text(header)
    (place.folder / "year.csv").write_text(
        f"{header}9999-99-01,1,1,1,1,1\n1022-01-03,1,1,1,1,1e400\n"
    )
    os.mkfifo(place.folder / "pipe.csv")
    nightly.nightly()

    def attempt(chosen):
        words = []
        for part in chosen.choice(COMMANDS).split():
            values = [odd_text(chosen.choice(WORDS[part]), chosen)] if part in WORDS else []
            if part.startswith("--") and chosen.random() < 0.4:
                continue
            words += [part, *values] if part.startswith("--") else values or [part]
        place.patch.setattr(sys, "argv", ["forecasting", *words])
        place.capfd.readouterr()
        with mock.patch.dict(os.environ), pytest.raises(SystemExit) as left:
            cli.main()
        shown = place.capfd.readouterr()
        code = left.value.code or 0
        assert code in (0, 1, 2, 3, 4), words
        assert "Traceback" not in shown.out + shown.err, words
        assert not code or 0 < len(shown.err.strip()) <= LONGEST, words

    return attempt


URLS = (
    "sqlite:////nowhere/x.db",
    "postgresql://u:hunter2@127.0.0.1:1/x?connect_timeout=1",
    "mysql://x",
    "sqlite://",
)


def python_arguments(place):
    write_yahoo_csv(BARS.iloc[-30:], place.folder / "TEST.csv")  # too short for a night
    ledger = fc.connect(place.url, data_dir=place.folder / "data")
    path = Path(place.url.removeprefix("sqlite:///"))
    before = path.read_bytes()

    def attempt(chosen):
        odd = [chosen.choice(ODD) for _ in range(8)]
        symbols = odd[: chosen.randrange(3)]
        target = odd[2]
        day = odd[3]
        data_dir = chosen.choice((None, odd[3]))
        night = {
            "now": chosen.choice((lambda: AT, odd[4])),
            "target": chosen.choice((None, target)),
            "source": odd[5],
        }
        more = {"as_of": chosen.choice((LAST, odd[6])), "mode": chosen.choice(("auto", odd[7]))}
        symbol = odd[0] if symbols else "TEST"
        url = chosen.choice((*URLS, *ODD))
        calls = (
            lambda: fc.connect(url, data_dir=data_dir),
            lambda: ledger.latest(*symbols, target=target),
            lambda: ledger.history(*symbols, target=target),
            lambda: ledger.skill(*symbols, target=target),
            lambda: ledger.bars(*symbols, as_of=day),
            lambda: ledger.run_night(symbol, **night, **more),
            lambda: ledger.backtest(
                symbol, day, odd[7], **night, refit_every=chosen.choice((21, odd[6]))
            ),
        )
        answer = ended(chosen.choice(calls))
        if isinstance(answer, ForecastingError):
            assert "hunter2" not in str(answer)
        elif isinstance(answer, pd.DataFrame):
            # The ledger has no row, and no night can have succeeded
            assert len(answer) == 0, answer
        assert path.read_bytes() == before

    return attempt


BOUNDARIES = (
    (csv_of_bars, (25, 8_000)),
    (earnings_dates, (50, 20_000)),
    (chart_of_yahoo, (40, 5_000)),
    (installed_source, (6, 1_000)),
    (variables, (200, 30_000)),
    pytest.param(command_lines, (30, 2_000), marks=pytest.mark.slow),
    (python_arguments, (100, 6_000)),
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
