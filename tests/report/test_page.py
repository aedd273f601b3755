import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from forecasting.report.page import render_page
from tests.report.nights import long_record, report_data, score, scored

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Outline(HTMLParser):
    """Tags in order, unclosed ones and every attribute that could make a browser request something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "poster")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    return found


def text_of(page: str) -> str:
    body = re.sub(r"<(style|script).*?</\1>|<svg.*?</svg>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_page_is_well_formed_small_and_requests_nothing(target: str):
    page = render_page(report_data(target))
    found = outline(page)
    assert found.open == []
    assert found.addresses == ["data:,"]
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert len(page.encode()) < 300_000
    assert "default-src 'none'" in page


def test_headings_descend_without_a_gap_and_every_table_has_a_caption():
    found = outline(render_page(report_data()))
    levels = [int(tag[1]) for tag in found.seen if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert found.seen.count("caption") == found.seen.count("table") == 9


def test_every_drawing_is_named_or_hidden():
    opened = re.findall(r"<svg[^>]*>", render_page(report_data()))
    assert all('aria-label="' in tag or 'aria-hidden="true"' in tag for tag in opened)


def test_a_record_without_a_score_one_session_ahead_has_its_other_scores() -> None:
    record = long_record(origins=1)  # no bar came of the session after its night, on which the exchange was closed
    text = text_of(render_page(report_data(scored=record[record["horizon"] > 1])))
    assert "No forecast made one session ahead has been scored yet." in text
    assert "80 % interval, by sessions ahead" in text


def test_the_first_night_shows_when_the_first_score_comes():
    page = render_page(report_data(scored=scored()))
    assert "No forecast has been scored yet. The first score comes with the bar of Monday 11 March 2024" in page
    assert "Interval coverage" not in page
    assert outline(page).open == []


def test_a_record_without_baselines_has_a_note():
    only_ours = long_record().query("role == 'champion'")
    assert "No baseline has been scored on the same sessions yet." in render_page(report_data(scored=only_ours))


def test_a_worse_record_is_shown_as_a_better_one_is():
    text = text_of(render_page(report_data(scored=long_record(ours=0.3))))
    assert "more than the best baseline there, ridge" in text
    assert re.search(r"ridge [\d.]+ 40 \N{MINUS SIGN}\d+", text)


def test_text_of_sources_and_reasons_is_escaped():
    page = render_page(report_data(fetch={"title": "<script>alert(1)</script>"}, run={"note": "<b>x</b>"}))
    assert "<script>alert" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


def test_the_same_night_gives_the_same_page():
    assert render_page(report_data()) == render_page(report_data())


def test_few_forecasts_get_no_coverage_verdict():
    assert "too few" in text_of(render_page(report_data(scored=long_record(origins=6))))


def test_a_record_of_one_night_is_in_the_singular():
    record = long_record(origins=1)
    page = text_of(render_page(report_data(scored=record[record["horizon"] == 1])))
    assert "Counted here and below: one night, " in page
    assert "The only one as a table" in page
    assert "1 nights" not in page
    assert 'aria-label="1 forecast made one session ahead' in render_page(
        report_data(scored=record[record["horizon"] == 1])
    )
    assert " nights from " in text_of(render_page(report_data()))


def test_a_page_of_nights_with_a_published_baseline_compares_with_it_and_with_the_network_alone():
    sound = long_record()
    replaced = sound["origin_session"] == sound["origin_session"].max()
    roles = sound["role"].mask(replaced & (sound["name"] == "lstm"), "silenced")
    mixed = sound.assign(role=roles.mask(replaced & (sound["name"] == "ridge"), "champion"))
    page = text_of(render_page(report_data(scored=mixed)))
    assert "A baseline was published in the network's place on 1 of these nights" in page
    assert re.search(r"ridge [\d.]+ 40 .* the network alone [\d.]+ 40 ", page)
    assert "the network alone" not in text_of(render_page(report_data(scored=sound)))


def test_a_small_p_value_is_not_rounded_to_nothing() -> None:
    ours = [score(ago=ago, median=10.0 + ago % 3) for ago in range(1, 41)]
    theirs = [score(ago=ago, median=11.0 + ago % 4, name="ridge", role="baseline") for ago in range(1, 41)]
    data = report_data(scored=scored(*ours, *theirs))
    value = float(data.record.comparisons.query("horizon == 1")["p_value"].iloc[0])
    assert 0.0 < value < 0.0005
    assert f'<td class="n">{value:.3g}</td>' in render_page(data)
