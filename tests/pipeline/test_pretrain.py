"""Pretrained weights of the user's own symbols: made, recorded, and used by nights whose bars are fetched later."""

import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from flows import clock
from flows.cli import app
from forecasting.errors import HistoryError, UsageError
from forecasting.pipeline import models, pretrain
from forecasting.pipeline.ingest import fetch_market
from forecasting.pipeline.night import make_night
from forecasting.pipeline.pretrain import pretrain_own
from forecasting.pipeline.replay import replay
from forecasting.pipeline.run import ingest_only, run_missed
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, read, write
from tests.builders import random_bars, set_small_night, write_yahoo_csv
from tests.nights import ON_BOTH_DATABASES, after, copy_ledger, counts, killed_before, rows

FIRST, SECOND, THIRD = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)
NAMES = [f"S{number}" for number in range(11)]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Ten symbols in one file, S0 to S9, and an index without volumes, S10."""
    folder = tmp_path_factory.mktemp("many")
    frames = []
    for seed, name in enumerate(NAMES):
        path = folder / f"{name}.csv"
        bars = random_bars(days=620, seed=seed)
        write_yahoo_csv(bars.assign(volume=0) if name == "S10" else bars, path)
        frames.append(pd.read_csv(path, parse_dates=["Date"]).assign(Symbol=name))
    pd.concat(frames, ignore_index=True).to_parquet(folder / "many.parquet")
    return folder / "many.parquet"


def set_ten(monkeypatch: pytest.MonkeyPatch, many: Path, folder: Path, url: str) -> Settings:
    """Settings of small nights of S0 to S9."""
    set_small_night(monkeypatch, folder, url, SOURCE=f"parquet:{many}", SYMBOLS="S0,S1,S2,S3,S4,S5,S6,S7,S8,S9")
    return read_settings()


@pytest.fixture
def ten(many, tmp_path, night_url, monkeypatch):
    """On a ledger without a row."""
    return set_ten(monkeypatch, many, tmp_path, night_url)


@pytest.fixture(scope="module")
def bars_of_the_first(many, tmp_path_factory, migrated_sqlite_file):
    """A ledger with the bars up to FIRST, as `ingest` leaves it."""
    folder = tmp_path_factory.mktemp("first")
    shutil.copy(migrated_sqlite_file, folder / "ledger.db")
    with pytest.MonkeyPatch.context() as patch:
        ingest(set_ten(patch, many, folder, f"sqlite:///{folder / 'ledger.db'}"), FIRST)
    return folder / "ledger.db"


@pytest.fixture
def ingested(bars_of_the_first, ten, night_url):
    """On a ledger with the bars up to FIRST."""
    copy_ledger(bars_of_the_first, night_url)
    return ten


def ingest(settings: Settings, session: date) -> None:
    """Store the bars of every symbol up to a session, on the morning after."""
    ingest_only(settings, as_of=session, switch_source=False, now=after(session)).raise_failed()


def made(settings: Settings) -> list[dict[str, object]]:
    """The rows of the weights, newest first."""
    with connect.reading(settings.url) as connection:
        return [dict(row) for row in read.pretrained(connection, settings.target)]


@ON_BOTH_DATABASES
def test_weights_are_recorded_with_the_fetches_of_their_symbols_and_lie_in_the_data_folder(ingested):
    words = pretrain_own(ingested, now=after(FIRST, 20))
    (row,) = made(ingested)
    assert row["base"] == f"volume-{FIRST}-{str(row['id'])[:6]}"
    assert words == f"Made {row['base']} of 10 symbols, {row['trained_from']} to {FIRST}, in " + words.split(" in ")[1]
    assert words.endswith(f" s; model {row['id']}.")
    assert (row["method"], row["scope"], row["symbol"], row["trained_to"]) == ("base", "panel", "", FIRST)
    assert json.loads(str(row["companion_fetches"])) == {one["symbol"]: one["id"] for one in rows("fetches")}
    assert models.weights_state(row, ingested) == "kept"
    card = json.loads((ingested.data_dir / "weights" / str(row["base"]) / "model.json").read_text())
    assert (card["base"], card["method"]) == ("volume-2022-12-30", "base")  # the newest shipped ones by then, continued


def test_the_kinds_are_those_that_nights_of_the_symbols_ask_for(ten, tmp_path, monkeypatch):
    """With a market series; four symbols have earnings dates, which are too few for a kind of their own."""
    write_yahoo_csv(random_bars(days=700, seed=20), tmp_path / "VIX.csv")
    settings = ten.model_copy(update={"market": f"csv:{tmp_path / 'VIX.csv'}"})
    fetch_market([make_night("S0", FIRST, settings, now=after(FIRST, 13))], FIRST, {}, switch_source=False)
    dates = pd.to_datetime(["2023-05-02", "2023-08-01", "2023-10-31", "2024-01-30"])
    known = {"kind": "earnings", "known_from": dates - timedelta(days=21), "announced": dates, "known_rule": "told"}
    with connect.transaction(ten.url) as connection:
        for symbol in NAMES[:4]:
            frame = pd.DataFrame({"session": dates, "timing": "after", **known})
            write.add_events(connection, symbol, frame, source="csv", first_seen_at=after(FIRST, 13)())
    ingest(ten, FIRST)
    words = pretrain_own(settings, now=after(FIRST, 20))
    (row,) = made(ten)
    assert str(row["base"]).startswith(f"volume-{FIRST}-market-")
    assert json.loads(str(row["companion_fetches"])).keys() == {*NAMES[:10], "^VIX"}
    assert "No weights of volume, with earnings dates, with a market series: 4 such symbols, expected 10" in words
    monkeypatch.setattr(pretrain, "MIN_SYMBOLS", 4)
    pretrain_own(settings, now=after(FIRST, 21))
    (dated,) = (one for one in made(ten) if one["id"] != row["id"])
    assert str(dated["base"]).startswith(f"volume-{FIRST}-earnings-market-")
    assert json.loads(str(dated["companion_fetches"])).keys() == {*NAMES[:4], "^VIX"}


def four_of(ten: Settings) -> Settings:
    return ten.model_copy(update={"symbols": tuple(NAMES[:4])})


def test_the_same_bars_give_the_same_version_once_to_the_bit_after_a_kill_and_newer_bars_another(ingested, monkeypatch):
    monkeypatch.setattr(pretrain, "MIN_SYMBOLS", 4)
    four = four_of(ingested)
    with monkeypatch.context() as patched:
        patched.setattr(write, "add", killed_before("models"))
        with pytest.raises(KeyboardInterrupt):
            pretrain_own(four, now=after(FIRST, 20))
    (left,) = (four.data_dir / "weights").iterdir()
    content = (left / "model.json").read_bytes()
    assert made(four) == []
    pretrain_own(four, now=after(FIRST, 20))
    (row,) = made(four)
    assert (four.data_dir / str(row["artifact_path"]), (left / "model.json").read_bytes()) == (left, content)
    before = counts()
    assert "is there already, made of the same bars of 4 symbols" in pretrain_own(four, now=after(FIRST, 21))
    assert counts() == before
    ingest(four, SECOND)
    pretrain_own(four, now=after(SECOND, 20))
    assert [row["trained_to"] for row in made(four)] == [SECOND, FIRST]
    assert [models.weights_state(row, four) for row in made(four)] == ["kept", "kept"]


def test_fewer_than_ten_symbols_with_enough_rows_are_refused_by_name(ingested):
    ingest(ingested.model_copy(update={"symbols": ("S10",)}), FIRST)
    fewer = ingested.model_copy(update={"symbols": (*NAMES[:6], "S10", "NOSUCH")})
    with pytest.raises(HistoryError) as refused:
        pretrain_own(fewer, now=after(FIRST, 20))
    found = r"found 6 of 8\. Left out: S10 \(Expected a volume .*\), NOSUCH \(no bars are stored\)\. Name more"
    assert re.search(found, str(refused.value))
    assert made(ingested) == []


def test_a_night_starts_from_them_only_if_its_bars_were_fetched_later_and_its_origin_is_later_than_their_span(
    ten, monkeypatch
):
    """And a replay of all of them, after more weights were made, gives the same bits."""
    monkeypatch.setattr(pretrain, "MIN_SYMBOLS", 4)
    four, alone = four_of(ten), ten.model_copy(update={"symbols": ("S0",)})
    monkeypatch.setattr("forecasting.train.fit.MAX_LOSS_RATIO", float("inf"))  # random bars suit no weights
    run_missed(alone, as_of=FIRST, mode="scratch", now=after(FIRST))
    ingest(four, SECOND)
    pretrain_own(four, now=after(SECOND, 20))
    run_missed(alone, as_of=SECOND, mode="scratch", now=after(SECOND, 21))  # the end of their span
    run_missed(alone, as_of=THIRD, mode="scratch", now=after(THIRD))
    ingest(four, THIRD)
    pretrain_own(four, now=after(THIRD, 20))
    own = made(ten)[1]["base"]
    bases = bases_by_day()
    assert bases == {str(FIRST): "volume-2022-12-30", str(SECOND): "volume-2022-12-30", str(THIRD): own}
    assert "3 nights" in str(replay(alone, now=after(THIRD, 40)).values)
    elsewhere = f"sqlite:///{ten.data_dir.absolute() / 'replay' / 'forecasting.db'}"
    monkeypatch.setenv("FORECASTING_DATABASE_URL", elsewhere)
    assert bases_by_day() == bases


def bases_by_day() -> dict[str, object]:
    """What each fit from scratch started from, by its newest session."""
    return {str(row["trained_to"])[:10]: row["base"] for row in rows("models") if row["method"] == "scratch"}


def test_they_are_listed_shown_and_never_champion(ingested, monkeypatch):
    monkeypatch.setattr(clock, "now", after(FIRST, 20))
    ran = CliRunner().invoke(app, ["pretrain", "--target", "volume"])
    assert ran.exit_code == 0, ran.output
    (row,) = made(ingested)
    assert ran.stdout.startswith(f"Made {row['base']} of 10 symbols")
    (listed,) = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)
    assert (listed["id"], listed["weights"], listed["champion"]) == (row["id"], "kept", False)
    assert str(row["base"]) in CliRunner().invoke(app, ["models", "list"]).stdout
    shown = json.loads(CliRunner().invoke(app, ["models", "show", str(row["id"])[:6], "--json"]).stdout)
    assert shown["weights"].startswith("there, unaltered, run by this code")
    with pytest.raises(UsageError, match="is a set of pretrained weights"):
        models.promote(str(row["id"]), ingested, now=clock.now)
