from datetime import date

from forecasting.report.staleness import stale_after


def test_a_page_is_stale_from_noon_of_the_day_after_its_first_session() -> None:
    assert stale_after(date(2024, 2, 29)) == "2024-03-01T12:00:00+00:00"
