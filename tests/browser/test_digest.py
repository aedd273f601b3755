"""The digest as a mail, in a browser."""

from forecasting.report.digest import digest_html, make_digest
from forecasting.store.rows import ResultRow
from tests.browser.pages import MARKS, PHONE
from tests.report.nights import ORIGIN, index_line

pytestmark = MARKS

RANGES = {"q10": 0.012, "q50": 0.015, "q90": 0.019, "values": [0.016] * 20}
RESULT = ResultRow(
    "DESK", "range", "replay", ORIGIN, 0.012, 0.015, 0.019, actual=0.014, inside_80=True
)


def test_a_phone_shows_the_whole_width_of_a_digest(open_page, tmp_path):
    other = index_line("DESK", "range", result=RESULT, **RANGES)
    path = tmp_path / "digest.html"
    path.write_text(digest_html(make_digest([index_line("DESK"), other])), encoding="utf-8")
    page = open_page(path.as_uri(), PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
