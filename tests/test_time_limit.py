from __future__ import annotations

import threading

import pytest

from forecasting.time_limit import TimeLimitError, within


def test_the_result_of_the_work_is_returned_none_too():
    assert within(60.0, lambda: 7, name="work") == 7
    assert within(60.0, lambda: None, name="work") is None


def test_the_error_of_the_work_is_raised_in_the_callers_thread_a_timeout_of_its_own_too():
    own = TimeoutError("of a socket")

    def fails() -> None:
        raise own

    with pytest.raises(TimeoutError) as raised:
        within(60.0, fails, name="work")
    assert raised.value is own


def test_work_without_an_end_is_left_behind_in_a_daemon_thread():
    release = threading.Event()
    with pytest.raises(TimeLimitError, match=r"endless did not end within 0\.01 s"):
        within(0.01, release.wait, name="endless")
    (left,) = [thread for thread in threading.enumerate() if thread.name == "endless"]
    assert left.daemon
    release.set()
    left.join()
