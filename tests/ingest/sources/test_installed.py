"""The source of docs/sources.md, exactly as documented: installed as a package, called, run through an ingest."""

from __future__ import annotations

import json
import re
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from pathlib import Path

import pandas as pd
import pytest

from flows import clock
from forecasting.errors import BadDataError, DataLateError, RateLimitedError, UnavailableError, UsageError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.sources import Fetched
from forecasting.ingest.sources.choose import is_live, newest_session, source_of
from forecasting.ingest.sources.installed import made_canonical
from forecasting.pipeline.backtest import load_series
from forecasting.pipeline.each_symbol import raise_failed
from forecasting.pipeline.ingest_only import ingest_only
from forecasting.settings import read_settings
from forecasting.store import database, read
from tests.builders import random_bars

DOC = (Path(__file__).resolve().parents[3] / "docs" / "sources.md").read_text(encoding="utf-8")
LAST = date(2024, 3, 8)
BARS = random_bars(650, seed=3, last=LAST)
FIRST = BARS.index[0].date()


def block(kind: str, at: int = 0) -> str:
    return re.findall(rf"```{kind}\n(.*?)```", DOC, re.DOTALL)[at]


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, code: str, project: str) -> None:
    """Put a module on the path as pip would: with the entry points that its pyproject.toml states."""
    stated = tomllib.loads(project)
    (module,) = stated["tool"]["setuptools"]["py-modules"]
    name, version = stated["project"]["name"], stated["project"]["version"]
    groups = stated["project"]["entry-points"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in offers.items()) for group, offers in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package of the doc, installed."""
    install(tmp_path / "site", monkeypatch, code=block("python"), project=block("toml"))


def test_readme_and_doc_state_the_lines_of_the_module():
    stated = f"module of {len(block('python').splitlines())} lines"
    assert stated in DOC
    assert stated in (Path(__file__).resolve().parents[3] / "README.md").read_text(encoding="utf-8")


class HouseServer:
    """The house's web server: its responses, by symbol."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.bodies: dict[str, bytes] = {}

    def put(self, bars: pd.DataFrame) -> None:
        """Publish SBUX.json."""
        rows = bars.drop(columns="adj_close").rename_axis("day").reset_index()
        rows["day"] = rows["day"].dt.strftime("%Y-%m-%d")
        self.bodies["/SBUX.json"] = json.dumps(rows.to_dict("records")).encode()


@pytest.fixture
def server() -> Iterator[HouseServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served.bodies.get(self.path)
            self.send_response(served.status if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    served = HouseServer(f"http://127.0.0.1:{listener.server_port}")
    served.put(BARS)
    yield served
    listener.shutdown()
    listener.server_close()
    thread.join()


def test_the_documented_source_has_at_most_thirty_lines_with_imports() -> None:
    assert len([line for line in block("python").splitlines() if line.strip()]) <= 30


def test_the_documented_source_returns_canonical_bars_and_raises_the_three_errors(
    house: None, server: HouseServer, tmp_path: Path
) -> None:
    source = source_of(f"house:{server.url}", cache_dir=tmp_path)
    fetched = source.fetch("SBUX", FIRST, LAST)
    pd.testing.assert_frame_equal(
        fetched.bars.drop(columns="adj_close"), BARS.drop(columns="adj_close"), check_freq=False
    )
    assert (fetched.source, fetched.live, fetched.currency) == ("house", True, "USD")
    with pytest.raises(BadDataError, match="404 for MSFT"):
        source.fetch("MSFT", FIRST, LAST)
    for status, error in ((429, RateLimitedError), (500, UnavailableError)):
        server.status = status
        with pytest.raises(error, match=str(status)):
            source.fetch("SBUX", FIRST, LAST)
    server.status, server.bodies["/SBUX.json"] = 200, b'[{"day": "2024-'
    with pytest.raises(BadDataError, match="not in the agreed format"):
        source.fetch("SBUX", FIRST, LAST)


def test_the_documented_check_runs_unchanged(
    house: None, server: HouseServer, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = BARS.copy()
    bars.iloc[-1, bars.columns.get_loc("high")] = 1.0
    server.put(bars)
    exec(compile(block("python", 1).replace("http://127.0.0.1:8000", server.url), "docs/sources.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("SBUX, daily, from the house's server 297 fetched, 296 kept\n")
    assert "high_below_low" in printed


def test_an_ingest_through_the_documented_source_is_late_until_its_bar_arrives_and_then_unchanged(
    house: None, server: HouseServer, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"DATABASE_URL": sqlite_url, "DATA_DIR": str(tmp_path), "SOURCE": f"house:{server.url}"}.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
    monkeypatch.setattr(clock, "now", lambda: datetime(2024, 3, 9, 10, 30, tzinfo=UTC))
    server.put(BARS.iloc[:-1])
    with pytest.raises(DataLateError, match=r"2024-03-08 yet; .* ends at 2024-03-07"):
        raise_failed(ingest_only(read_settings(), as_of=None, switch_source=False, now=clock.now))
    server.put(BARS)
    first, again = (
        ingest_only(read_settings(), as_of=None, switch_source=False, now=clock.now)[0].get() for _ in range(2)
    )
    assert (first["source"], first["verdict"], first["row_count"], first["currency"]) == ("house", "first", 650, "USD")
    assert again["id"] == first["id"]  # the same answer to the same question is the same fetch


def test_bars_under_another_symbol_than_the_requested_one_are_not_stored(
    server: HouseServer, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = block("python").replace("Fetched(self.name, symbol,", "Fetched(self.name, 'MSFT',")
    install(tmp_path / "site", monkeypatch, code=code, project=block("toml"))
    for name, value in {"DATABASE_URL": sqlite_url, "DATA_DIR": str(tmp_path), "SOURCE": f"house:{server.url}"}.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
    with pytest.raises(BadDataError, match="of another request: expected SBUX as symbol, found MSFT"):
        raise_failed(ingest_only(read_settings(), as_of=LAST, switch_source=False, now=clock.now))
    with database.reading(sqlite_url) as connection:
        assert read.bars(connection, "MSFT").empty


@pytest.mark.parametrize("other", [{"source": "house v2"}, {"first_asked": LAST}, {"last_asked": date(2024, 3, 28)}])
def test_a_response_that_names_another_request_is_refused(other: dict[str, object]) -> None:
    response = Fetched("house", "SBUX", FIRST, LAST, BARS, make_actions([]), "1.0", "SBUX, daily")
    assert made_canonical(response, "house", "SBUX", (FIRST, LAST)).symbol == "SBUX"
    with pytest.raises(BadDataError, match=f"another request: .* as {next(iter(other))}, found"):
        made_canonical(replace(response, **other), "house", "SBUX", (FIRST, LAST))  # type: ignore[arg-type]


def test_a_backtest_reads_an_installed_source_as_a_night_does(
    tmp_path: Path, server: HouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = block("python").replace("bars = canonical(rows)", "bars = rows.reindex(columns=COLUMNS).astype(float)")
    code = code.replace("import Fetched\n", "import Fetched\nfrom forecasting.ingest.sources.shape import COLUMNS\n")
    install(tmp_path / "site", monkeypatch, code=code, project=block("toml"))
    monkeypatch.setenv("FORECASTING_SOURCE", f"house:{server.url}")
    bars = BARS.copy()
    bars.loc[str(LAST), "volume"] = 0.0
    server.put(bars)
    found, _, _ = load_series(read_settings(), last=LAST, now=clock.now)
    assert pd.isna(found.loc[str(LAST), "volume"])  # 0 is unknown
    server.bodies["/SBUX.json"] = b'[{"day": "2024-03-08", "open": "high"}]'
    with pytest.raises(BadDataError, match=r"The source 'house' failed with ValueError: .*installed package"):
        load_series(read_settings(), last=LAST, now=clock.now)


def test_a_source_without_a_newest_session_is_live(house: None, server: HouseServer, tmp_path: Path) -> None:
    source = source_of(f"house:{server.url}", cache_dir=tmp_path)
    assert (newest_session(source, "SBUX"), is_live(source)) == (None, True)
    assert [is_live(source_of(text, cache_dir=tmp_path)) for text in ("yahoo", "sample")] == [True, False]


def test_an_unknown_source_lists_the_installed_ones(house: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Invalid --source 'home:x'.*sample or house:ARGUMENT of house-bars 1\.0"):
        source_of("home:x", cache_dir=tmp_path)


def test_an_unknown_source_without_installed_ones_says_that_there_are_none(tmp_path: Path) -> None:
    assert not entry_points(group="forecasting.sources")
    with pytest.raises(UsageError, match=r"'home:x': .* or sample\. No package with a source of its own"):
        source_of("home:x", cache_dir=tmp_path)


def test_a_built_in_name_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clashing = block("toml").replace("house =", "sample =")
    install(tmp_path / "site", monkeypatch, code=block("python"), project=clashing)
    assert type(source_of("sample", cache_dir=tmp_path)).__name__ == "Sample"
    with pytest.raises(UsageError, match="Invalid --source 'sample:x'"):
        source_of("sample:x", cache_dir=tmp_path)


def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", monkeypatch, code="import nowhere_at_all\n", project=block("toml"))
    with pytest.raises(UsageError, match=r"house-bars 1\.0 as house_bars:House, .* No module named 'nowhere_at_all'"):
        source_of("house:x", cache_dir=tmp_path)


@pytest.mark.parametrize("line", ["", "    name = 5\n"])
def test_a_class_without_a_name_is_refused_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    code = block("python").replace('    name = "house"\n', line)
    install(tmp_path / "site", monkeypatch, code=code, project=block("toml"))
    with pytest.raises(UsageError, match=r"house-bars 1\.0 as house_bars:House; expected a text as its attribute name"):
        source_of("house:x", cache_dir=tmp_path)


def test_a_name_registered_by_two_packages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "one", monkeypatch, code=block("python"), project=block("toml"))
    other = block("toml").replace("house-bars", "home-bars").replace("house_bars", "home_bars")
    install(tmp_path / "two", monkeypatch, code=block("python"), project=other)
    with pytest.raises(UsageError, match=r"(house|home)-bars 1\.0 and by (house|home)-bars 1\.0"):
        source_of("house:x", cache_dir=tmp_path)
