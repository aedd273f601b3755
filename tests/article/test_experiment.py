import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from forecasting.article.experiment import INPUTS, ROWS, TRAIN_ROWS, run_article
from forecasting.article.network import EPOCHS
from forecasting.errors import HistoryError
from forecasting.report.article_page import render_article
from tests.builders import random_bars

TITLE = "Made-up bars <for tests>"


def run(bars, **changes):
    return run_article(bars, **{"title": TITLE, "seeds": (0, 1), "epochs": 3, **changes})


def by_name(result):
    return {answer.name: answer for answer in result.answers}


@pytest.fixture(scope="module")
def bars():
    return random_bars(days=300)


@pytest.fixture(scope="module")
def result(bars):
    medians = bars["volume"].rolling(22).median().shift(1)
    return run(bars, ours=medians, epochs=101)


def test_the_newest_253_sessions_are_used_and_the_last_53_are_the_test(bars, result):
    pd.testing.assert_series_equal(result.volume, bars["volume"].iloc[-ROWS:])
    assert result.split == bars.index[-53].date()
    assert (ROWS - TRAIN_ROWS, EPOCHS) == (53, 1000)


def test_each_way_of_asking_is_a_row_of_the_table(result):
    table = result.table()
    assert list(table["name"]) == ["As printed", "Scalers apart", "Next session", "Last value", "Ours"]
    assert list(table["scalers"])[:3] == ["all 253 rows", "the 200 training rows", "199 training rows"]
    assert (table["mae_low"] <= table["mae"]).all()
    assert (table["mae"] <= table["mae_high"]).all()
    naive = table["mae"][3]
    assert list(table["skill_vs_last_value"]) == pytest.approx([1 - value / naive for value in table["mae"]])


def test_last_value_and_ours_are_scored_on_the_same_53_sessions(bars, result):
    volume = bars["volume"]
    medians = volume.rolling(22).median().shift(1)
    answers = by_name(result)
    assert answers["Last value"].maes == (pytest.approx((volume - volume.shift(1)).abs().iloc[-53:].mean()),)
    assert answers["Ours"].maes == (pytest.approx((volume - medians).abs().iloc[-53:].mean()),)


def test_the_network_learns_and_its_loss_is_noted_every_hundred_epochs(result):
    assert [epoch for epoch, _ in result.losses] == [0, 100]
    assert result.losses[1][1] < result.losses[0][1]


def test_the_same_seeds_give_the_same_bits_and_leave_the_generator_alone(bars):
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = run(bars)
    assert torch.equal(torch.rand(3), expected)
    second = run(bars)
    for one, other in zip(first.answers, second.answers, strict=True):
        assert one.maes == other.maes
        pd.testing.assert_series_equal(one.forecast, other.forecast)


def test_progress_is_told_after_every_fit(bars):
    told: list[tuple[int, int]] = []
    run(bars, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]


def test_each_seed_is_another_draw(bars):
    assert len(set(by_name(run(bars))["As printed"].maes)) == 2


def test_as_printed_the_test_rows_shape_what_is_trained_and_with_scalers_apart_they_do_not(bars):
    altered = bars.copy()
    altered.iloc[-53:, altered.columns.get_loc("volume")] *= 3.0
    altered.iloc[-53:, [altered.columns.get_loc(name) for name in INPUTS]] *= 1.5
    before, after = by_name(run(bars)), by_name(run(altered))
    trained = bars.index[-ROWS:-53]

    def moved(name):
        rows = trained.intersection(before[name].forecast.index)
        return not np.allclose(before[name].forecast[rows], after[name].forecast[rows], rtol=1e-9)

    assert moved("As printed")
    assert not moved("Scalers apart")
    assert not moved("Next session")


def test_asked_for_the_next_session_a_days_own_prices_change_nothing(bars):
    altered = bars.copy()
    altered.iloc[-1, [altered.columns.get_loc(name) for name in INPUTS]] *= 2.0
    before, after = by_name(run(bars)), by_name(run(altered))
    pd.testing.assert_series_equal(before["Next session"].forecast, after["Next session"].forecast)
    assert before["Scalers apart"].forecast.iloc[-1] != after["Scalers apart"].forecast.iloc[-1]


def test_sessions_without_a_volume_are_left_out_and_too_few_are_refused(bars):
    holed = bars.copy()
    holed.iloc[-2, holed.columns.get_loc("volume")] = np.nan
    result = run(holed)
    assert len(result.volume) == ROWS
    assert bars.index[-2] not in result.volume.index
    with pytest.raises(HistoryError, match=r"needs 253 sessions .* found 252"):
        run(bars.iloc[-252:])


def test_without_an_adjusted_close_the_close_stands_in_and_the_page_says_so(bars):
    unknown = run(bars.assign(adj_close=np.nan))
    absent = run(bars.drop(columns="adj_close"))
    for result in (unknown, absent):
        assert result.note == "The source has no adjusted close; the close stands in for it."
        assert result.note in render_article(result)
        assert (
            by_name(result)["As printed"].maes == by_name(run(bars.assign(adj_close=bars["close"])))["As printed"].maes
        )


def test_ours_may_be_a_function_of_the_test_sessions(bars):
    asked = []

    def ours(sessions):
        asked.append(sessions)
        return pd.Series(1.0, index=sessions)

    answer = by_name(run(bars, ours=ours))["Ours"]
    assert [list(sessions) for sessions in asked] == [list(bars.index[-53:])]
    assert answer.mae == pytest.approx((bars["volume"].iloc[-53:] - 1.0).abs().mean())


def test_ours_must_speak_about_every_test_session(bars):
    with pytest.raises(ValueError, match=f"1 miss: .'{bars.index[-1].date()}'"):
        run(bars, ours=bars["volume"].iloc[:-1])


def test_without_ours_there_are_four_answers_and_a_page(bars):
    result = run(bars)
    assert [answer.name for answer in result.answers] == ["As printed", "Scalers apart", "Next session", "Last value"]
    page = render_article(result)
    assert page.count("<polyline") == 2 * (2 + 3)
    assert ", ours" not in page


def test_the_headline_ends_with_ours(result):
    ours = by_name(result)["Ours"].mae / 1e6
    assert f", ours {ours:.2f}." in render_article(result)


class Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_stands_alone_is_well_formed_and_shows_every_figure(result):
    page = render_article(result)
    seen = Seen()
    seen.feed(page)
    text = re.sub(r"\s+", " ", " ".join(seen.text))
    assert (seen.open, seen.links) == ([], [])
    assert "url(" not in page
    assert "@import" not in page
    assert TITLE in text
    for answer in result.answers:
        assert answer.name in text
        assert f" {answer.mae / 1e6:.2f} " in text
    for epoch, loss in result.losses:
        assert f" {epoch} " in text
        assert f" {loss:.5f} " in text


def test_one_red_line_stands_between_the_last_training_and_the_first_test_session(result):
    page = render_article(result)
    (drawing,) = re.findall(r'<svg class="plot" .*?</svg>', page, flags=re.S)[:1]
    (x,) = re.findall(r'class="split" x1="([\d.]+)"', drawing)
    actual = re.search(r'class="s0" points="([^"]+)"', drawing)[1].split()
    xs = [float(point.split(",")[0]) for point in actual]
    assert len(xs) == ROWS
    assert xs[TRAIN_ROWS - 1] < float(x) < xs[TRAIN_ROWS]


def test_an_index_counted_in_billions_is_shown_in_billions():
    result = run(random_bars(days=ROWS, level=4e9))
    assert f"{by_name(result)['Last value'].mae / 1e9:.2f}" in render_article(result)
    assert "B shares" in render_article(result)
