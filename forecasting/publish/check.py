"""What `check` found, in lines."""

from collections.abc import Sequence
from itertools import groupby

from forecasting.night.health import LiveState
from forecasting.plain_text import quantity
from forecasting.report.units import instant
from forecasting.report.words import WORDS, by_cause

NOTED = 20  # the most symbols that a note names


def check_lines(states: Sequence[LiveState]) -> list[str]:
    """How many live forecasts are missing, why, what to do until when; which are fresh; notes."""
    missing = [state for state in states if state.condition is not None]
    fresh = [state for state in states if state.condition is None and state.session is not None]
    lines = _missing(missing, of=len(states)) if missing else []
    if fresh:
        lines.append(_fresh(fresh))
    return [*lines, *_notes(states)]


def _notes(states: Sequence[LiveState]) -> list[str]:
    """Return what else is to be known of each symbol, whatever its targets."""
    of_symbols = {state.symbol: state.notes for state in states}
    notes = [(symbol, note) for symbol, some in of_symbols.items() for note in some]
    return [f"Note on {cause.text}" for cause in by_cause(notes, limit=NOTED)]


def _missing(missing: Sequence[LiveState], *, of: int) -> list[str]:
    are = "is" if len(missing) == 1 else "are"
    conditions = [(state.series, state.condition) for state in missing if state.condition]
    return [
        f"{len(missing)} of {quantity(of, 'live forecast')} {are} missing.",
        *(f"- {cause.text}" for cause in by_cause(conditions)),
        *_advice(missing),
    ]


def _fresh(fresh: list[LiveState]) -> str:
    fresh.sort(key=lambda state: str(state.session))
    each = [
        f"{', '.join(state.series for state in some)} from the session {session}"
        for session, some in groupby(fresh, key=lambda state: state.session)
    ]
    return f"Fresh: {'; '.join(each)}."


def _advice(missing: Sequence[LiveState]) -> list[str]:
    """Until when a live forecast can be made, and what to do before: a sentence an exchange."""
    known = [state for state in missing if state.opens is not None]
    known.sort(key=lambda state: (state.exchange, state.is_open))
    groups = groupby(known, key=lambda state: (state.exchange, state.opens, state.is_open))
    return [_advice_of(list(some)) for _, some in groups]


def _advice_of(some: Sequence[LiveState]) -> str:
    """The advice of `_advice` for the symbols of one exchange."""
    kinds = dict.fromkeys(state.condition.kind for state in some if state.condition)
    steps = [f"{WORDS[kind].advice}." for kind in kinds if WORDS[kind].advice]
    first = some[0]
    if first.is_open:
        until = f"opened at {instant(first.opens)}: only the next night's can be live."
        return " ".join([f"{first.exchange} {until}", *steps])
    until = f"opens at {instant(first.opens)}: a live forecast is made before that."
    return " ".join([f"{first.exchange} {until}", *steps, "Then `forecasting run`."])
