from datetime import date
from hashlib import sha256

from forecasting.ids import finding_id, short_id

FINDING = ("a1b2", date(2024, 4, 2), "volume_zero")


def test_a_short_id_is_the_first_twelve_digits_of_the_hash_of_its_parts():
    assert short_id("SBUX", "volume") == sha256(b"SBUX\x1fvolume").hexdigest()[:12]


def test_a_short_id_never_changes():
    assert short_id("SBUX", "2024-04-02", "volume") == "a58c36235b72"


def test_parts_that_join_to_the_same_text_have_different_ids():
    assert len({short_id("ab", "c"), short_id("a", "bc"), short_id("abc"), short_id("abc", "")}) == 4


def test_a_finding_id_never_changes():
    assert finding_id(*FINDING) == "7049724dbfa476f9"


def test_a_finding_id_depends_on_fetch_session_and_rule():
    fetch, session, rule = FINDING
    others = {
        finding_id("a1b3", session, rule),
        finding_id(fetch, date(2024, 4, 3), rule),
        finding_id(fetch, session, "gap"),
    }
    assert len(others | {finding_id(*FINDING)}) == 4
