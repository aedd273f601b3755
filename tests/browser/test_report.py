"""The report page in a real browser, from a file, as a person opens it."""

import io
import math
import re
from datetime import date

import pandas as pd
import pytest

from forecasting.report.documents import forecast_csv
from forecasting.report.page import render_page
from forecasting.sessions import next_sessions, shift
from forecasting.vocabulary import HORIZONS, QUANTILE_COLUMNS
from tests.browser.pages import DESK, MARKS, PHONE, axe_violations
from tests.report.nights import ORIGIN, forecasts, report_data, report_page, scored

pytestmark = MARKS


@pytest.fixture
def opened(open_page, tmp_path):
    """A function that opens a night's page."""

    def opened_page(data, viewport=DESK, scheme="light"):
        path = tmp_path / "report.html"
        path.write_text(render_page(data), encoding="utf-8")
        return open_page(path.as_uri(), viewport, scheme)

    return opened_page


def test_the_script_writes_the_numbers_that_the_page_has_without_it(opened, browser, tmp_path):
    medians = [8_224_951.0, 8_224_999.0, 8_225_000.0, 8_225_001.0, 8_225_049.0]
    parts = {horizon: [("usual", 7e6), ("recent", 1.2), ("trees", 0.9)] for horizon in HORIZONS}
    page = opened(report_page(forecasts=forecasts().assign(q50=medians), parts=parts))
    plain = browser.new_context(java_script_enabled=False)
    without = plain.new_page()
    without.goto((tmp_path / "report.html").as_uri())
    cells = [
        shown.locator("#forecasts tbody td:not(.actual)").all_inner_texts()
        for shown in (page, without)
    ]
    plain.close()
    assert len(cells[0]) == 30
    assert cells[0] == cells[1]


@pytest.mark.parametrize(
    ("target", "with_record"), [("volume", True), ("close", False), ("range", True)]
)
def test_a_phone_opens_and_touches_the_page_without_errors_requests_or_sideways_scroll(
    opened, target, with_record
):
    page = opened(
        report_page(target) if with_record else report_page(target, scored=scored()), PHONE
    )
    page.evaluate(
        "document.querySelectorAll('details').forEach((closed) => { closed.open = true; })"
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#fan-chart > svg").get_attribute("viewBox") == "0 0 360 300"
    assert page.locator("#fan-chart > svg").bounding_box()["width"] > 340
    page.locator("#fan-chart .slot").nth(12).locator(".hit").tap()
    assert tip_is_off_the_plot(page)
    assert page.errors == []
    assert len([address for address in page.requests if not address.startswith("data:")]) == 1


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(PHONE, "light"), (DESK, "dark")], ids=["phone", "desk"]
)
def test_axe_finds_nothing_to_mend(opened, viewport, scheme):
    data = report_page(
        issued=nights(), run={"note": "a note"}, first_prints=report_data().history["value"] * 0.9
    )
    page = opened(data, viewport, scheme)
    page.evaluate(
        "document.querySelectorAll('details').forEach((closed) => { closed.open = true; })"
    )
    assert axe_violations(page) == []


def test_the_pointer_shows_a_sessions_values(opened):
    page = opened(report_page())
    page.locator("#fan-chart .slot").last.locator(".hit").hover()
    tip = page.locator(".tip").inner_text()
    assert tip.splitlines()[0] == "Friday 15 March 2024"
    assert "median" in tip
    assert tip_is_off_the_plot(page)
    page.mouse.move(2, 2)
    assert not page.locator(".tip").is_visible()
    page.locator("#fan-chart > svg").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip").inner_text().startswith("Wednesday 13 December 2023")
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()


def tip_is_off_the_plot(page):
    tip = page.locator(".tip").bounding_box()
    plot = page.locator("#fan-chart .slot .hit").first.bounding_box()
    return tip["y"] + tip["height"] <= plot["y"] or tip["y"] >= plot["y"] + plot["height"]


def test_the_page_prints_on_light_paper_without_being_cut(opened):
    page = opened(report_page(), {"width": 718, "height": 1000}, "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
    assert page.evaluate("document.documentElement.scrollWidth") == 718


def nights(*, count=7, target="volume", **changed):
    """The newest night and older ones, a session apart, each with the network's forecasts and a
    ridge's."""
    parts = []
    for ago in range(count):
        origin = shift(ORIGIN, -ago)
        own = forecasts(target, **changed).assign(
            origin_session=origin, target_session=next_sessions(origin, 5), split_factor=1.0
        )
        why = [
            [("usual", 0.05 if target == "close" else 7e6), ("recent", 1.2 + ago), ("network", 0.9)]
        ] * 5
        own = own.assign(parts=why)
        parts += [
            own.assign(name="lstm", role="champion"),
            own.assign(name="ridge", role="baseline", q50=own["q05"]),
        ]
    return pd.concat(parts, ignore_index=True)


def test_a_past_night_is_shown_as_issued_beside_what_came(opened):
    page = opened(report_page(issued=nights()))
    assert page.locator("#coming").inner_text() == "The next 5 sessions"
    record = page.get_by_text("Of its last 40 forecasts")  # as of the newest night
    shown = [record, page.locator("#forecasts .actual").first]
    assert [one.is_visible() for one in shown] == [True, False]
    page.get_by_role("button", name="Older night").click()
    assert [one.is_visible() for one in shown] == [False, True]
    actual = report_data().history["value"].iloc[-1]
    unit = report_data().unit
    facts = {
        "#coming": "The 5 sessions after Thu 7 Mar 2024",
        "#as-issued": "Night of Thursday 7 March 2024, live, issued 2024-03-09",
        "#headline": rf"SBUX was .* on Friday 8 March 2024 .*; it came to {unit.brief(actual)}\.$",
        "#forecasts caption": ".* up to 2024-03-07",
    }
    for place, words in facts.items():
        assert re.match(words, page.locator(place).inner_text())
    actuals = page.locator("#forecasts .actual").all_inner_texts()[1:3]
    assert [text.split(",")[0] for text in actuals] == [unit.number(actual), ""]
    assert page.locator("#fan-chart .dot, #fan-chart .diamond, #fan-chart .cross").count() == 1
    page.get_by_label("Night", exact=True).select_option(label="Thu 29 Feb 2024")
    assert page.get_by_role("button", name="Older night").is_disabled()
    assert page.errors == []


def test_a_past_night_has_its_own_why_in_a_sentence_bars_table_and_tip(opened):
    page = opened(
        report_page(issued=nights(), parts={1: [("usual", 7e6), ("recent", 1.2), ("network", 0.9)]})
    )
    assert (
        page.locator("#why p").first.inner_text().endswith("M; recent days x1.20; network x0.90.")
    )
    page.get_by_role("button", name="Older night").click()
    assert (
        page.locator("#why p").first.inner_text().endswith("M; recent days x2.20; network x0.90.")
    )
    up, down = (page.locator(f"#why rect.{css}").get_attribute("width") for css in ("gain", "bar"))
    assert (float(up), float(down)) == pytest.approx(
        (70.0, 70.0 * math.log(1 / 0.9) / math.log(2.2)), abs=0.1
    )
    assert (
        page.locator("#forecasts td[data-label='Why']").all_inner_texts()
        == ["recent x2.20; network x0.90"] * 5
    )
    page.locator("#fan-chart .slot").last.locator(".hit").hover()
    assert "recent x2.20; network x0.90" in page.locator(".tip").inner_text().splitlines()
    page.get_by_label("Forecaster").select_option("ridge")
    assert page.locator("#forecasts td[data-label='Why']").all_inner_texts() == [""] * 5
    assert page.errors == []


def test_the_address_keeps_night_forecaster_and_span(opened, open_page):
    page = opened(report_page(issued=nights()))
    page.get_by_label("Night", exact=True).select_option(label="Tue 5 Mar 2024")
    page.get_by_label("Forecaster").select_option("ridge")
    page.get_by_label("Past sessions", exact=True).select_option("20")
    assert page.url.endswith("#night=2024-03-05&model=ridge&past=20")
    shown = page.locator("#as-issued").inner_text()
    assert page.locator("#fan-chart .slot").count() == 25
    assert "Ridge: median" in shown
    assert open_page(page.url).locator("#as-issued").inner_text() == shown
    other = open_page(page.url.split("#")[0] + "#night=1999-01-01&model=x")
    assert other.locator("#coming").inner_text() == "The next 5 sessions"
    assert (
        other.locator("#no-night").inner_text()
        == "No night of 1999-01-01 on this page; the newest is shown."
    )
    other.get_by_role("button", name="Older night").click()
    assert not other.locator("#no-night").is_visible()


@pytest.mark.parametrize("target", ["volume", "close"])
def test_a_night_whose_last_value_is_unknown_shows_the_one_before(opened, target):
    history = report_data(target).history
    history.loc[history.index[-1], "value"] = float("nan")
    unknown = {"history": history, "forecasts": forecasts(target, last_value=float("nan"))}
    page = opened(
        report_page(target, issued=nights(target=target, last_value=float("nan")), **unknown)
    )
    number = report_data(target).unit.number
    assert page.errors == []
    known = history["value"].dropna()
    usual = known.iloc[-1] if target == "close" else known.iloc[-20:].median()
    assert f" {number(usual)}" in page.locator("#usual").inner_text().replace("$", "")
    assert page.locator("#usual").inner_text().endswith(" 2024-03-07.")
    assert page.locator("#fan-chart .slot").count() == 64  # 59 known sessions and 5 forecasts
    page.get_by_role("button", name="Older night").click()
    assert page.locator("#usual").inner_text().endswith(" 2024-03-06.")
    assert page.locator("#forecasts tbody tr").count() == 5
    assert page.errors == []


def downloaded(page, table):
    """The name and the rows of a table's CSV."""
    with page.expect_download() as downloading:
        page.get_by_role("button", name=f"Download as CSV: {table}").click()
    return downloading.value.suggested_filename, pd.read_csv(downloading.value.path())


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_forecasts_shown_are_downloaded_as_show_has_them(opened, target):
    data = report_page(target, issued=nights(target=target))
    page = opened(data)
    name, rows = downloaded(page, "forecasts")
    assert name == f"SBUX-{target}-2024-03-08-forecasts.csv"
    shown = pd.read_csv(io.StringIO(forecast_csv([data.night])))
    both = [column for column in shown if column in rows]
    assert {
        "symbol",
        "origin_session",
        "target_session",
        "horizon",
        *QUANTILE_COLUMNS,
        "usual",
    } <= {*both}
    pd.testing.assert_frame_equal(rows[both], shown[both], check_dtype=False, rtol=1e-5)
    page.get_by_role("button", name="Older night").click()
    page.get_by_label("Forecaster").select_option("ridge")
    name, rows = downloaded(page, "forecasts")
    assert name == f"SBUX-{target}-2024-03-07-forecasts-ridge.csv"
    assert rows["target_session"].tolist() == [
        day.isoformat() for day in next_sessions(shift(ORIGIN, -1), 5)
    ]
    assert rows["actual"].iloc[0] == pytest.approx(data.night.history["value"].iloc[-1], rel=1e-5)
    assert rows["forecaster"].unique().tolist() == ["ridge"]


def test_tables_of_the_record_are_downloaded_as_numbers(opened):
    page = opened(report_page())
    name, skill = downloaded(page, "skill")
    assert name == "SBUX-volume-2024-03-08-skill.csv"
    assert set(zip(skill["forecaster"], skill["horizon"], strict=True)) == {
        (forecaster, horizon) for forecaster in ("ridge", "last_value") for horizon in range(6)
    }
    _, coverage = downloaded(page, "coverage-80")
    assert (coverage["low"] < coverage["high"]).all()
    assert set(coverage["as_of"]) == {"2024-03-08"}


def test_only_a_page_whose_session_is_over_is_marked_stale(opened):
    assert opened(report_page()).locator("#stale").is_visible()
    coming = forecasts().assign(target_session=next_sessions(date(2059, 1, 2), 5))
    assert not opened(report_page(forecasts=coming)).locator("#stale").is_visible()
    assert opened(report_page(forecasts=forecasts(kind="replay"))).locator("#stale").count() == 0
