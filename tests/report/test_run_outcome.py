from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from forecasting.report.run_outcome import (
    SymbolNight,
    counts_of,
    names_of,
    outcome_sentence,
    outcome_tags,
    subject_tags,
)
from tests.report.nights import ORIGIN, forecasts

OPENS = datetime(2024, 3, 11, 13, 30, tzinfo=UTC)


def night_of(symbol: str = "SBUX", *, published: pd.DataFrame | None = None, **run: Any) -> SymbolNight:
    """A night that is done, with a median of 8.45 million shares; `run` changes its row."""
    seconds = {f"seconds_{step}": 1.0 for step in ("ingest", "preprocess", "train", "predict", "evaluate")}
    row = {"symbol": symbol, "as_of": ORIGIN, "status": "done", "error": None, "note": ""} | seconds | run
    shown = forecasts(q50=8.4512e6, q10=6e6, q90=12e6, last_value=8e6) if published is None else published
    return SymbolNight(symbol, "volume", row, shown, OPENS, "USD")


def failed(symbol: str, error: str = "no rows") -> SymbolNight:
    """A symbol whose first night failed."""
    row = {"symbol": symbol, "as_of": ORIGIN, "status": "failed", "error": error, "note": ""}
    return SymbolNight(symbol, "volume", row, None, None, "")


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{EN DASH}", "-")


def test_the_sentence_of_one_symbol_has_its_status_and_tomorrow() -> None:
    assert plain(outcome_sentence([night_of()])) == "SBUX done. SBUX Mon 11 Mar 8.45 M shares, 80 % 6.00-12.00"


def test_the_unit_is_the_medians_own_where_the_last_value_is_unknown() -> None:
    unknown = forecasts(q50=8.4512e6, q10=6e6, q90=12e6, last_value=float("nan"))
    assert outcome_sentence([night_of(published=unknown)]) == outcome_sentence([night_of()])


def test_the_sentence_of_many_symbols_counts_them_and_shows_three() -> None:
    shown = outcome_sentence([night_of(name) for name in "ABCDE"])
    assert shown.startswith("5 symbols: 5 done. A Mon 11 Mar ")
    assert shown.endswith(" and 2 more")


def test_the_worst_is_counted_first() -> None:
    nights = [night_of("A"), failed("B"), night_of("C", status="late"), night_of("D")]
    assert counts_of(nights) == "4 symbols: 1 failed, 1 late, 2 done"
    assert counts_of([SymbolNight("NEW", "volume", None, None, None, "")]) == "NEW no night yet"


def test_a_reason_is_the_error_or_the_note() -> None:
    assert failed("A").reason == "no rows"
    assert night_of(note="the market is late").reason == "the market is late"
    assert (night_of().reason, SymbolNight("NEW", "volume", None, None, None, "").reason) == ("", "")


def test_three_names_are_shown_and_the_others_counted() -> None:
    assert names_of(["A", "B", "C"]) == "A, B, C"
    assert names_of(["A", "B", "C", "D", "E"]) == "A, B, C and 2 more"


def test_few_symbols_are_tags_and_many_are_not() -> None:
    assert subject_tags(["SBUX", "MSFT"], "volume") == ["volume", "SBUX", "MSFT"]
    assert subject_tags(list("ABCDEF"), "close") == ["close"]


def test_what_is_unusual_becomes_a_tag_once() -> None:
    replay = forecasts(kind="replay", status="fallback", last_value=8e6)
    assert outcome_tags([night_of()]) == []
    assert outcome_tags([failed("A"), failed("B"), night_of(published=replay)]) == ["failed", "fallback", "replay"]
