"""What is special about a session by the exchange's calendar alone, in words."""

from datetime import date, timedelta

from forecasting.sessions import early_closes, holidays, is_session, shift


def calendar_notes(session: date, exchange: str) -> list[str]:
    """`half day`, `triple witching` or `options expiry`, `after a holiday`, as far as they apply; known years ahead.

    None on a day without a session: bars of one remain in a ledger once FORECASTING_EXCHANGES, or a newer calendar, has
    another exchange or holiday.
    """
    if not is_session(session, exchange):
        return []
    notes = []
    if early_closes(session, session, exchange):
        notes.append("half day")
    if _is_expiry(session, exchange):
        notes.append("triple witching" if session.month % 3 == 0 else "options expiry")
    if _follows_holiday(session, exchange):
        notes.append("after a holiday")
    return notes


def _is_expiry(session: date, exchange: str) -> bool:
    """Whether it is the month's third Friday, or the Thursday before one that is a holiday.

    These are the days of the US, kept for every exchange that trades on Fridays; one that does not has no expiry.
    """
    friday = session + timedelta(1)
    if session.weekday() == 3 and len(holidays(friday, friday, exchange)):
        return 14 <= session.day <= 20
    return session.weekday() == 4 and 15 <= session.day <= 21


def _follows_holiday(session: date, exchange: str) -> bool:
    return len(holidays(shift(session, -1, exchange), session, exchange)) > 0
