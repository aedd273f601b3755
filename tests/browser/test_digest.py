"""The digest as a mail, in a browser."""

from forecasting.report.digest import digest_html, make_digest
from tests.browser.pages import MARKS, PHONE
from tests.report.nights import ORIGIN, index_line

pytestmark = MARKS

PRICES = {"q10": 89.8, "q50": 91.1, "q90": 92.4, "values": [91.0] * 20, "currency": "EUR"}
RESULT = {"target_session": ORIGIN, "actual": 91.06, "q50": 90.96, "inside_80": True}


def test_a_phone_shows_the_whole_width_of_a_digest(open_page, tmp_path):
    close = index_line("DESK", "close", result=RESULT | {"kind": "replay"}, **PRICES)
    path = tmp_path / "digest.html"
    path.write_text(digest_html(make_digest([index_line("DESK"), close])), encoding="utf-8")
    page = open_page(path.as_uri(), PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
