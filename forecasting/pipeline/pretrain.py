"""Make pretrained weights from the user's own symbols, as stored now: no request is made.

They lie in the data folder, a folder a version, and in table models (method `base`). Nights whose bars are fetched
later start from them as from shipped ones, of which they are a continuation. The same bars and settings give the same
version, which is made once.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np

from forecasting.errors import FitError, HistoryError
from forecasting.pipeline.backtest import Bar, no_bar
from forecasting.pipeline.folders import PRETRAINED, child_folder
from forecasting.pipeline.night import make_night
from forecasting.pipeline.preprocess import ledger_instant, market_snapshot
from forecasting.pipeline.run_log import code_version
from forecasting.pipeline.symbols import each_symbol
from forecasting.plain_text import named
from forecasting.preprocess.windows import MIN_ROWS, Windows, make_windows
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read, write
from forecasting.store.frames import Row
from forecasting.train.checkpoint import Checkpoint, save
from forecasting.train.model import ARCHITECTURE
from forecasting.train.pretrained import Kind, kind_of, load_named, pretrain, shipped_for
from forecasting.vocabulary import LSTM, OF_MANY, Clock, short_id

logger = logging.getLogger("forecasting.train")

MIN_SYMBOLS = 10  # Symbols that weights are made of, at least
_NAMED = 5  # symbols that a sentence about those left out names
_ID_DIGITS = 6  # of a version's id in its name, which has 40 characters with the longest kind: the column's width


@dataclass(frozen=True)
class _Symbol:
    """A symbol with enough rows: the fetches of what is stored now, its windows, and those without earnings dates."""

    fetches: dict[str, str]
    windows: Windows
    undated: Windows


def pretrain_own(settings: Settings, *, now: Clock, bar: Bar = no_bar) -> str:
    """A sentence a version of weights, of the settings' target: one for each kind of symbol among the settings'."""
    migrate.check_ready(settings.url)
    outcomes = each_symbol(settings, partial(_symbol, now=now), now=now)
    symbols = list(outcomes.values.values())
    texts = [f"{symbol} ({str(reason).rstrip('.')})" for symbol, reason in outcomes.errors.items()]
    left_out = [f"Left out: {named(texts, _NAMED)}."] if texts else []
    if len(symbols) < MIN_SYMBOLS:
        found = f"found {len(symbols)} of {len(settings.symbols)}."
        raise HistoryError(
            f"Expected {MIN_SYMBOLS} or more symbols with enough stored sessions of a known {settings.target}; "
            f"{' '.join([found, *left_out])} Name more (--symbol, --symbols-file), and store their bars: forecasting "
            "ingest."
        )
    kinds = sorted({kind_of(one.windows) for one in symbols}, key=lambda kind: (kind.earnings, kind.market))
    return "\n".join([*(_made(kind, symbols, settings, now=now, bar=bar) for kind in kinds), *left_out])


def _symbol(own: Settings, *, now: Clock) -> _Symbol:
    """One symbol's settings as what weights are made of; a HistoryError where it has too few rows."""
    symbol = own.symbols[0]
    with connect.reading(own.url) as connection:
        fetch = read.newest_fetch(connection, symbol)
        session = read.newest(connection, "bar_versions", "session", {"symbol": symbol})
        if fetch is None or session is None:
            raise HistoryError("no bars are stored")
        night, at = make_night(symbol, session, own, now=now), fetch["fetched_at"]
        bars = read.bars(connection, symbol, last=session, known_at=at)
        events = read.events(connection, symbol, known_at=at)
        market, market_fetch, _ = market_snapshot(connection, night, data_as_of=at)
    made_with = partial(make_windows, bars, origin=session, settings=night.settings, market=market)
    windows = made_with(events)
    # An index without volumes has no known target.
    if np.isfinite(windows.scaled).any(axis=1).sum() < MIN_ROWS // 2:
        raise HistoryError(f"{symbol} has a known {night.target} on too few sessions to train on")
    fetches = {symbol: str(fetch["id"])}
    if windows.has_market and own.market_choice is not None:
        fetches[own.market_choice.symbol] = market_fetch
    return _Symbol(fetches, windows, made_with(events[:0]) if windows.has_events else windows)


def _made(kind: Kind, symbols: Sequence[_Symbol], settings: Settings, *, now: Clock, bar: Bar) -> str:
    """What came of one kind: made of the symbols with earnings dates, or of all as if none had any; or why not."""
    same = [one for one in symbols if one.windows.has_market == kind.market]
    chosen = [one for one in same if one.windows.has_events or not kind.earnings]
    if len(chosen) < MIN_SYMBOLS:
        return f"No weights of {_of(kind)}: {len(chosen)} such symbols, expected {MIN_SYMBOLS} or more."
    fetches = {symbol: fetch_id for one in chosen for symbol, fetch_id in one.fetches.items()}
    panel = [one.windows if kind.earnings else one.undated for one in chosen]
    # Of each the newest session whose value training uses.
    newest: list[date] = [windows.sessions[windows.learnable_sessions - 1].astype(object) for windows in panel]
    start = next(map(load_named, shipped_for(kind, max(newest))), None)
    code = (settings.members, settings.seed, settings.train_sessions, ARCHITECTURE, start.card.base if start else "")
    model_id = short_id("base", _of(kind), json.dumps(code), json.dumps(fetches, sort_keys=True))
    with connect.reading(settings.url) as connection:
        made = read.row(connection, "models", {"id": model_id})
    if made is not None:
        return f"{made['base']} is there already, made of the same bars of {len(panel)} symbols; model {model_id}."
    row = _fit_and_save(model_id, kind, panel, settings, start=start, bar=bar)
    row["companion_fetches"] = json.dumps(fetches, sort_keys=True)
    with connect.transaction(settings.url) as connection:
        newest_fetch = read.newest(connection, "fetches", "fetched_at", {"symbol": [*fetches]})
        row["created_at"] = ledger_instant(newest_fetch, now())
        write.add(connection, "models", row)
    span = f"{row['trained_from']} to {row['trained_to']}"
    return f"Made {row['base']} of {len(panel)} symbols, {span}, in {row['seconds']:.0f} s; model {model_id}."


def _fit_and_save(
    model_id: str, kind: Kind, panel: list[Windows], settings: Settings, *, start: Checkpoint | None, bar: Bar
) -> Row:
    """The row of new weights, but for fetches and instant; a kill before it leaves a folder, which is replaced."""
    started = time.perf_counter()
    with bar(f"weights of {_of(kind)}") as progress:
        checkpoint = pretrain(panel, settings=settings, start=start, progress=progress)
    card = checkpoint.card
    if not all(bool(weight.isfinite().all()) for weight in checkpoint.weights.values()):
        raise FitError(
            f"Expected finite weights after {card.epochs} epochs over {len(panel)} symbols; found others. "
            "Nothing was kept. See the findings of these symbols' bars, and leave out the symbol that has odd ones."
        )
    name = kind.name(checkpoint.trained_to, model_id[:_ID_DIGITS])
    sha256 = save(checkpoint, child_folder(settings.data_dir.absolute() / PRETRAINED, name))
    seconds = round(time.perf_counter() - started, 3)
    logger.info("made %s of %d symbols, %d rows, in %.1f s", name, len(panel), card.rows, seconds)
    row: Row = {"id": model_id, "name": LSTM, "version": str(card.architecture), "method": card.method, "base": name}
    row |= {"symbol": OF_MANY, "target": card.target, "scope": "panel", "seed": card.seed, "seconds": seconds}
    row |= {"trained_from": checkpoint.trained_from, "trained_to": checkpoint.trained_to}
    row |= {"epochs": card.epochs, "chain_epochs": card.chain_epochs}
    row |= {"settings_hash": card.settings_hash, "code_version": code_version()}
    return row | {"artifact_path": f"{PRETRAINED}/{name}", "artifact_hash": sha256}


def _of(kind: Kind) -> str:
    dates = "with earnings dates" if kind.earnings else "without earnings dates"
    return f"{kind.target}, {dates}, {'with' if kind.market else 'without'} a market series"
