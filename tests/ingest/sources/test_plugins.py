"""What an option names, and the source of docs/developer.md as documented.

Installed, called, run through an ingest.
"""

import re
import sys
import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from pydantic import ValidationError

from forecasting.errors import (
    BadDataError,
    DataLateError,
    UnavailableError,
    UsageError,
)
from forecasting.ingest.actions import make_actions
from forecasting.ingest.sources import Request, Response
from forecasting.ingest.sources.files import Files
from forecasting.ingest.sources.plugins import (
    is_live,
    newest_session,
    response_of,
    source_of,
)
from forecasting.ingest.sources.yahoo import Yahoo
from forecasting.settings import Settings
from tests.builders import LAST, random_bars
from tests.flows.sinks import http_source
from tests.nights import ingest_only

DOC = (Path(__file__).resolve().parents[3] / "docs" / "developer.md").read_text(encoding="utf-8")
BARS = random_bars(650, seed=3, last=LAST)
FIRST = BARS.index[0].date()


def block(kind, at=0):
    return re.findall(rf"```{kind}\n(.*?)```", DOC, re.DOTALL)[at]


def install(folder, monkeypatch, *, code, project):
    """Put a module on the path as pip would.

    With the entry points that its pyproject.toml states.
    """
    stated = tomllib.loads(project)
    (module,) = stated["tool"]["setuptools"]["py-modules"]
    name = stated["project"]["name"]
    version = stated["project"]["version"]
    groups = stated["project"]["entry-points"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )
    lines = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in offers.items())
        for group, offers in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)


@pytest.fixture
def house(tmp_path, monkeypatch):
    """The package of the doc, installed."""
    install(tmp_path / "site", monkeypatch, code=block("python"), project=block("toml"))


class HouseServer:
    """The house's web server: its responses, by path."""

    def __init__(self):
        self.url = ""
        self.bodies = {}

    def put(self, bars):
        """Publish SBUX.csv."""
        rows = bars.drop(columns="adj_close").rename_axis("day")
        self.bodies["/SBUX.csv"] = rows.to_csv(date_format="%Y-%m-%d").encode()


@pytest.fixture
def server():
    house = HouseServer()
    house.put(BARS)

    def answer(path, headers):
        return 200 if path in house.bodies else 404, house.bodies.get(path, b"")

    with http_source(answer) as house.url:
        yield house


def test_the_documented_source_returns_canonical_bars_or_says_that_it_has_no_response(
    house, server, tmp_path
):
    source = source_of(f"house:{server.url}", cache_dir=tmp_path)
    assert (newest_session(source, "SBUX"), is_live(source)) == (None, True)
    fetched = source.fetch(Request("house", "SBUX", FIRST, LAST))
    pd.testing.assert_frame_equal(
        fetched.bars.drop(columns="adj_close"), BARS.drop(columns="adj_close"), check_freq=False
    )
    assert (fetched.request.source, fetched.live) == ("house", True)
    with pytest.raises(UnavailableError, match=r"MSFT.*404"):
        source.fetch(Request("house", "MSFT", FIRST, LAST))


def ingested(settings):
    return ingest_only(settings, LAST, now=lambda: datetime(2024, 3, 9, 10, tzinfo=UTC))


def test_an_ingest_through_the_documented_source_is_late_until_its_bar_arrives_and_then_unchanged(
    house, server, sqlite_url, tmp_path
):
    settings = Settings(database_url=sqlite_url, data_dir=tmp_path, source=f"house:{server.url}")
    server.put(BARS.iloc[:-1])
    with pytest.raises(DataLateError, match=r"2024-03-08 yet; .* ends at 2024-03-07"):
        ingested(settings)
    server.put(BARS)
    first = ingested(settings)
    again = ingested(settings)
    assert (first.source, first.verdict, first.row_count) == ("house", "first", 650)
    assert first.title == "SBUX"
    assert again.id == first.id  # the same answer to the same question is the same fetch


def test_a_response_is_of_its_request_whatever_it_states(house):
    request = Request("house", "SBUX", FIRST, BARS.index[-3].date())
    stated = Response(Request("v2", "MSFT", LAST, LAST), BARS)
    source = SimpleNamespace(name="house", fetch=lambda request: stated)
    of_request = response_of(source, request)
    assert of_request.request == request
    pd.testing.assert_frame_equal(of_request.bars, BARS.iloc[:-2], check_freq=False)


def test_a_source_that_returns_no_response_is_named():
    source = SimpleNamespace(name="house", fetch=lambda request: BARS)
    with pytest.raises(BadDataError, match="'house' failed with AttributeError"):
        response_of(source, Request("house", "SBUX", FIRST, LAST))


SPIN_OFF = make_actions([(BARS.index[3], "spin-off", 1.0)])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"bars": BARS.reset_index(drop=True)}, r"naive midnight; found .* at \['0'\]"),
        ({"bars": BARS.tz_localize("America/New_York")}, r"at \['202.* 00:00:00-0"),
        ({"bars": BARS.set_axis(BARS.index + pd.Timedelta(hours=16))}, r"at \['202.* 16:00:00'\]"),
        ({"bars": pd.concat([BARS, BARS.iloc[-1:]])}, "a row a session"),
        ({"bars": BARS.drop(columns="adj_close")}, "found open, high, low, close, volume at"),
        ({"actions": SPIN_OFF}, "'kind': 'spin-off'"),
        ({"currency": 7}, "currency"),
        ({"live": 1}, "live"),
        ({"findings": ("x",)}, "an instance of Finding"),
    ],
)
def test_a_response_of_another_shape_is_an_error_that_names_the_difference(changed, expected):
    sound = Response(Request("house", "SBUX", FIRST, LAST), BARS)
    with pytest.raises(ValidationError, match=expected):
        replace(sound, **changed)


def test_an_option_names_its_source_and_creates_nothing(tmp_path):
    path = tmp_path / "a:b.csv"
    random_bars(5).to_csv(path)
    yahoo, csv, sample = (
        source_of(text, cache_dir=tmp_path / "cache") for text in ("yahoo", f"csv:{path}", "sample")
    )
    assert isinstance(yahoo, Yahoo) and yahoo.cache_dir == tmp_path / "cache"
    assert isinstance(csv, Files) and (csv.kind, csv.path) == ("csv", path)
    assert [newest_session(source, "^GSPC") for source in (yahoo, csv, sample)] == [
        None,
        LAST,
        date(2018, 12, 31),
    ]
    assert [is_live(source) for source in (yahoo, csv, sample)] == [True, False, False]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "text", ["", "Yahoo", "csv", "csv:", "parquet:", "stooq", "sample:x", "csv:/nowhere.csv"]
)
def test_anything_else_is_a_usage_error(tmp_path, text):
    with pytest.raises(UsageError, match="source"):
        source_of(text, cache_dir=tmp_path)


def test_an_unknown_source_lists_the_installed_ones(tmp_path, monkeypatch):
    install(tmp_path / "site", monkeypatch, code=block("python"), project=block("toml"))
    with pytest.raises(UsageError, match=r"house:ARGUMENT of house-bars 1\.0"):
        source_of("home:x", cache_dir=tmp_path)
