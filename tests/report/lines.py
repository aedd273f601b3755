"""Lines of the index for tests: one a symbol and target, as the pipeline makes them."""

from __future__ import annotations

from datetime import date

from forecasting.report.night_view import SymbolLine
from tests.report.nights import ISSUED, ORIGIN


def forecast(symbol: str = "SBUX", target: str = "volume", **changed: object) -> dict[str, object]:
    row = {"symbol": symbol, "target": target, "origin_session": ORIGIN, "target_session": date(2024, 3, 11)}
    row |= {"q10": 8e6, "q50": 12e6, "q90": 16e6, "kind": "live", "status": "ok", "reason": "", "calendar": ""}
    row |= {"title": "Starbucks Corporation", "currency": "USD", "issued_at": ISSUED, "data_as_of": ISSUED}
    return row | changed


def index_line(symbol: str = "SBUX", target: str = "volume", **changed: object) -> SymbolLine:
    """Twenty-five sessions of 10 M shares, the last result a hit; `changed` replaces fields or columns."""
    fields = {
        "run": {"as_of": ORIGIN, "status": "done", "error": None, "note": ""},
        "values": [10e6] * 25,
        "events": [],
        "result": {"target_session": ORIGIN, "actual": 11e6, "q50": 10e6, "inside_80": True},
        "skill": None,
        "parts": (),
        "opens": None,
        "page": f"{symbol}-{target}.html",
    }
    own = {name: changed.pop(name) for name in list(changed) if name in fields}
    return SymbolLine(symbol, target, forecast=forecast(symbol, target, **changed), **(fields | own))
