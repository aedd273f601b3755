from __future__ import annotations

import pytest

from forecasting.store.failures import masked


@pytest.mark.parametrize(
    ("text", "secret", "shown"),
    [
        ("password hunter2 refused for hunter2", "hunter2", "password *** refused for ***"),
        ("a database at postgresql://a:a@host/a", "a", "a database at postgresql://a:***@host/a"),
        ("connection to host failed: password=o", "o", "connection to host failed: password=***"),
    ],
)
def test_a_password_is_masked_and_the_words_around_it_are_left(text: str, secret: str, shown: str) -> None:
    assert masked(text, secret) == shown
