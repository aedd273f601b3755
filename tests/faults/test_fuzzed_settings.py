"""FORECASTING_ variables with values that nobody would mean: the settings that they state, or one paragraph."""

from __future__ import annotations

import os
import random
from fractions import Fraction
from pathlib import Path
from unittest import mock

import pytest

from forecasting.errors import ForecastingError
from forecasting.settings import Settings, read_settings
from tests.faults.fuzzing import TOKENS, case, counts, damaged, ended

SOUND = {
    "data_dir": ("data", "/tmp/x"),
    "database_url": ("sqlite:///x.db", "postgresql://me:hunter2@db:5432/x"),
    "symbols": ("SBUX", "SBUX,MSFT, ^GSPC", "VOD.L"),
    "target": ("volume", "close", "range"),
    "source": ("yahoo", "csv:x.csv", "parquet:x.parquet", "sample", "house:x"),
    "events": ("csv:events.csv",),
    "edgar_contact": ("Jo Doe jo@example.org",),
    "market": ("none", "^VIX", "csv:VIX.csv", "parquet:a/vix.parquet"),
    "witness": ("csv:other.csv", "sample", "house:x"),
    "files": ("/srv/a,/srv/b",),
    "exchange": ("XNYS", "XLON", "24/7"),
    "exchanges": ("VOD=XLON,ES=F=CMES",),
    "train_sessions": ("2500", "300"),
    "members": ("3", "32"),
    "seed": ("0", "2147483647"),
    "scratch_every": ("21",),
    "max_model_age": ("63",),
    "cron": ("30 5 * * 2-6", "@daily", "0 6 * JAN-MAR MON#1"),
    "timezone": ("America/New_York", "UTC"),
    "late_until": ("09:00", "23:59:59"),
    "runner": ("local", "processes", "dask"),
    "workers": ("2",),
    "shard_size": ("10",),
    "dask_address": ("tcp://dask:8786",),
    "cost_ratio": ("3", "0.5"),
    "notify": ("ntfys://me:hunter2@ntfy.sh/nights", "json://127.0.0.1:9/x"),
    "alerts": ("median > 1.5 usual; width>3 usual; SBUX q90 > 20e6",),
    "keep_artifacts": ("60",),
}
WHOLE = (
    "train_sessions",
    "members",
    "seed",
    "scratch_every",
    "max_model_age",
    "workers",
    "shard_size",
    "keep_artifacts",
)
TEXTS = (
    "witness",
    "target",
    "source",
    "events",
    "edgar_contact",
    "market",
    "exchange",
    "cron",
    "timezone",
    "runner",
    "dask_address",
)
TEXTS = ("witness", "target", "source", "events", "edgar_contact", "market", "exchange", "cron", "timezone", "runner")
TEXTS += ("dask_address", "alerts")
LISTS = ("symbols",)


def drawn(chosen: random.Random) -> dict[str, str]:
    """One to three variables, most of them damaged."""
    found = {}
    for name in chosen.sample(sorted(SOUND), chosen.choice((1, 1, 1, 2, 3))):
        text = chosen.choice(SOUND[name]).encode()
        changed = chosen.choice((text, damaged(text, chosen), damaged(text, chosen), chosen.choice(TOKENS), text * 200))
        found[name] = os.fsdecode(changed.replace(b"\0", b""))  # no environment can hold one
    return found


def check_against(given: dict[str, str], settings: Settings) -> None:
    """The settings are what the variables state, each read in the plainest way; an empty one counts as not set."""
    for name, text in given.items():
        if not text:
            continue
        value = getattr(settings, name)
        if name in WHOLE:
            assert value == Fraction(text.strip()), name
        elif name in TEXTS:
            assert value == text, name
        elif name in LISTS:
            assert list(value) == list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())), name
        elif name == "cost_ratio":
            assert value == float(text)
        elif name == "data_dir":
            assert value == Path(text)


def read_all() -> Settings:
    settings = read_settings()
    assert len(settings.hash) == 12
    assert "hunter2" not in repr(settings) + settings.model_dump_json()
    assert settings.url
    assert [settings.exchange_of(symbol) for symbol in settings.symbols]
    assert settings.market_choice is None or settings.market_choice.symbol
    assert settings.file_folders
    return settings


def test_every_setting_is_tried() -> None:
    assert set(SOUND) == set(Settings.model_fields)


@counts(300, 30_000)
def test_variables_give_the_settings_that_they_state_or_one_paragraph(
    cases: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.upper().startswith("FORECASTING_")]:
        monkeypatch.delenv(name)
    for place in range(cases):
        given = drawn(random.Random(place))
        with case(place, given), mock.patch.dict(os.environ, {f"FORECASTING_{k.upper()}": v for k, v in given.items()}):
            settings = ended(read_all)
            if isinstance(settings, ForecastingError):
                assert "hunter2" not in str(settings)
            else:
                check_against(given, settings)
