from __future__ import annotations

import threading

import pytest

from forecasting.time_limit import TimeLimitError, within


def test_the_result_or_the_error_of_the_work_comes_to_the_callers_thread_a_timeout_of_its_own_too():
    own = TimeoutError("of a socket")

    def fails() -> None:
        raise own

    assert [within(60.0, lambda value=value: value, name="work") for value in (7, None)] == [7, None]
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
