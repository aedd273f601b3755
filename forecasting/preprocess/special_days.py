"""What is special about a session by the exchange's calendar alone, in words."""

from datetime import date, timedelta

from forecasting.sessions import early_closes, is_session, shift


def calendar_notes(session: date, exchange: str) -> list[str]:
    """`half day`, `triple witching` or `options expiry`, `after a holiday`, as far as they apply; known years ahead."""
    notes = []
    if early_closes(session, session, exchange):
        notes.append("half day")
    if _is_expiry(session, exchange):
        notes.append("triple witching" if session.month % 3 == 0 else "options expiry")
    if _follows_holiday(session, exchange):
        notes.append("after a holiday")
    return notes


def _is_expiry(session: date, exchange: str) -> bool:
    """Whether it is the month's third Friday, or the Thursday before one on which the exchange is closed."""
    if session.weekday() == 3 and not is_session(session + timedelta(1), exchange):
        return 14 <= session.day <= 20
    return session.weekday() == 4 and 15 <= session.day <= 21


def _follows_holiday(session: date, exchange: str) -> bool:
    day = shift(session, -1, exchange) + timedelta(1)
    while day < session:
        if day.weekday() < 5:
            return True
        day += timedelta(1)
    return False
