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
    return {variant.name: variant for variant in result.variants}


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


def test_each_variant_is_a_row_of_the_table(result):
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
    variants = by_name(result)
    assert variants["Last value"].maes == (pytest.approx((volume - volume.shift(1)).abs().iloc[-53:].mean()),)
    assert variants["Ours"].maes == (pytest.approx((volume - medians).abs().iloc[-53:].mean()),)


def test_the_loss_falls_and_is_recorded_every_hundred_epochs(result):
    assert [epoch for epoch, _ in result.losses] == [0, 100]
    assert result.losses[1][1] < result.losses[0][1]


def test_the_same_seeds_give_the_same_bits_without_the_generator_of_the_process(bars):
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = run(bars)
    assert torch.equal(torch.rand(3), expected)
    second = run(bars)
    for left, right in zip(first.variants, second.variants, strict=True):
        assert left.maes == right.maes
        pd.testing.assert_series_equal(left.forecast, right.forecast)


def test_progress_is_reported_after_every_fit(bars):
    reports: list[tuple[int, int]] = []
    run(bars, progress=lambda done, total: reports.append((done, total)))
    assert reports == [(done, 6) for done in range(1, 7)]


def test_each_seed_gives_another_error(bars):
    assert len(set(by_name(run(bars))["As printed"].maes)) == 2


def test_the_test_rows_influence_training_as_printed_and_not_with_scalers_apart(bars):
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


def test_a_forecast_of_the_next_session_does_not_depend_on_its_own_prices(bars):
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
    with pytest.raises(HistoryError, match=r"Expected 253 sessions .* found 252"):
        run(bars.iloc[-252:])


def test_without_an_adjusted_close_the_close_is_used_and_the_page_notes_it(bars):
    unknown = run(bars.assign(adj_close=np.nan))
    absent = run(bars.drop(columns="adj_close"))
    for result in (unknown, absent):
        assert result.note == "The source has no adjusted close; the close is used instead."
        assert result.note in render_article(result)
        assert (
            by_name(result)["As printed"].maes == by_name(run(bars.assign(adj_close=bars["close"])))["As printed"].maes
        )


def test_ours_without_a_forecast_of_a_test_session_is_refused(bars):
    with pytest.raises(ValueError, match=f"1 miss: .'{bars.index[-1].date()}'"):
        run(bars, ours=bars["volume"].iloc[:-1])


def test_without_ours_there_are_four_variants_and_a_page(bars):
    result = run(bars)
    assert [variant.name for variant in result.variants] == [
        "As printed",
        "Scalers apart",
        "Next session",
        "Last value",
    ]
    page = render_article(result)
    assert page.count("<polyline") == 2 * (2 + 3)
    assert ", ours" not in page


def test_the_headline_ends_with_ours(result):
    ours = by_name(result)["Ours"].mae / 1e6
    assert f", ours {ours:.2f}." in render_article(result)


class Parsed(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_self_contained_and_well_formed_and_shows_every_figure(result):
    page = render_article(result)
    parsed = Parsed()
    parsed.feed(page)
    text = re.sub(r"\s+", " ", " ".join(parsed.text))
    assert (parsed.open, parsed.links) == ([], ["data:,"])
    assert "url(" not in page
    assert "@import" not in page
    assert TITLE in text
    for variant in result.variants:
        assert variant.name in text
        assert f" {variant.mae / 1e6:.2f} " in text
    for epoch, loss in result.losses:
        assert f" {epoch} " in text
        assert f" {loss:.5f} " in text


def test_one_red_line_is_between_the_last_training_and_the_first_test_session(result):
    page = render_article(result)
    (drawing,) = re.findall(r'<svg class="plot" .*?</svg>', page, flags=re.S)[:1]
    (x,) = re.findall(r'class="split" x1="([\d.]+)"', drawing)
    actual = re.search(r'class="s0" points="([^"]+)"', drawing)[1].split()
    xs = [float(point.split(",")[0]) for point in actual]
    assert len(xs) == ROWS
    assert xs[TRAIN_ROWS - 1] < float(x) < xs[TRAIN_ROWS]


def test_volumes_in_billions_are_shown_in_billions():
    result = run(random_bars(days=ROWS, level=4e9))
    assert f"{by_name(result)['Last value'].mae / 1e9:.2f}" in render_article(result)
    assert "B shares" in render_article(result)
