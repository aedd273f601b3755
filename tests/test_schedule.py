from __future__ import annotations

from datetime import time

import pytest

from forecasting.errors import UsageError
from forecasting.schedule import check_cron, check_hour, check_time_zone
from forecasting.settings import read_settings

TAKEN = ["30 5 * * 2-6", "0 22-4 * * *", "0 0 L * *", "0 0 * * mon#1", "0 0 * * L5", "@daily", "0 0 * * fri-mon"]
TAKEN += ["0-10/3 1 * * *", "5/15 * * * *", "0 0 * * 7", "0,30 5 1 JAN,jul *", "0 0 ? * MON", "0 0 1,L * ?"]
TAKEN += ["0 0 * * mon#1,L5"]
REFUSED = ["", "30 5 * *", "60 5 * * *", "* 24 * * *", "0 0 0 * *", "0 0 1 13 *", "*/0 * * * *", "H 0 * * *"]
REFUSED += ["0 0 * * 8", "a b c d e", "0 0 * * mon-", "0 0 * * 1-2-3", "@nightly", "-1 5 * * *", "1,,2 * * * *"]
REFUSED += ["? 5 * * *", "0 5 ?/2 * *", "0 5 L/2 * *", "0 5 * * 1-5#2", "0 5 * * MON#1,TUE", "0 5 * * L5,1"]
REFUSED += ["0 5 * * *#1", "0 5 * * L5#1"]


@pytest.mark.parametrize("text", TAKEN)
def test_a_schedule_that_prefect_takes_is_taken(text: str) -> None:
    from prefect.client.schemas.schedules import CronSchedule

    CronSchedule(cron=text, timezone="America/New_York")
    assert check_cron(text) == text


@pytest.mark.parametrize("text", REFUSED)
def test_a_schedule_that_prefect_refuses_is_refused(text: str) -> None:
    from prefect.client.schemas.schedules import CronSchedule

    with pytest.raises(ValueError, match="cron"):
        CronSchedule(cron=text, timezone="America/New_York")
    with pytest.raises(ValueError, match="Expected"):
        check_cron(text)


@pytest.mark.parametrize("name", ["Mars/Olympus", "America", "", "/etc/passwd", "../UTC", "x" * 300, "New York"])
def test_a_time_zone_that_this_machine_has_not_is_refused(name: str) -> None:
    assert check_time_zone("America/New_York") == "America/New_York"
    with pytest.raises(ValueError, match="Expected a time zone such as America/New_York"):
        check_time_zone(name)


@pytest.mark.parametrize(
    "text", ["9", "9:00", "24:00", "09:60", "09:00Z", "09:00+02:00", "09:00:00.5", "9 am", "32400"]
)
def test_an_hour_with_a_zone_of_its_own_or_in_another_form_is_refused(text: str) -> None:
    assert (check_hour("09:00"), check_hour("23:59:59")) == ("09:00", "23:59:59")
    with pytest.raises(ValueError, match=r"Expected a time of FORECASTING_TIMEZONE such as 09:00, found"):
        check_hour(text)


def test_the_setting_of_the_hour_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECASTING_LATE_UNTIL", "09:00Z")
    with pytest.raises(UsageError, match=r"FORECASTING_LATE_UNTIL: Expected a time .* found '09:00Z'"):
        read_settings()
    monkeypatch.setenv("FORECASTING_LATE_UNTIL", "07:15")
    assert read_settings().late_until == time(7, 15)
