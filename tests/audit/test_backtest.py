"""Backtests of several symbols, one after the other and side by side."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial

import numpy as np
import pandas as pd
import pytest

from flows import clock
from forecasting.audit.article import unseen_sessions
from forecasting.audit.backtest import backtest_spec, no_bar, our_medians, walk_each
from forecasting.backtests.walk_forward import BacktestSpec, backtest
from forecasting.errors import HistoryError
from forecasting.settings import Settings, read_settings
from forecasting.vocabulary import MEDIAN, Progress
from tests.builders import no_events, random_bars, set_small_night
from tests.nights import rows

SYMBOLS = {"AAA": 560, "BBB": 200, "CCC": 560}  # BBB has too few sessions to forecast from


@pytest.fixture
def settings(sqlite_url, tmp_path, monkeypatch):
    parts = [
        random_bars(days=days, seed=seed).assign(symbol=name)
        for seed, (name, days) in enumerate(SYMBOLS.items())
    ]
    pd.concat(parts).rename_axis("date").reset_index().to_parquet(tmp_path / "panel.parquet")
    chosen = {
        "SOURCE": f"parquet:{tmp_path / 'panel.parquet'}",
        "MARKET": "none",
        "SYMBOLS": ",".join(SYMBOLS),
    }
    set_small_night(monkeypatch, tmp_path, sqlite_url, **chosen)
    return read_settings()


@pytest.mark.slow
@pytest.mark.parametrize("as_published", [True, False])
def test_symbols_side_by_side_have_the_figures_that_each_has_alone(
    settings, tmp_path, as_published
):
    documents = []
    kept = []
    shown = list[tuple[int, int]]()

    @contextmanager
    def bar(what: str) -> Iterator[Progress]:
        yield lambda done, of: shown.append((done, of))

    for count in (1, 2):
        out = tmp_path / f"{count}.json"
        spec_of = partial(
            backtest_spec, first=date(2024, 2, 12), last=date(2024, 2, 20), refit_every=3
        )
        spec_of = partial(spec_of, workers=count, as_published=as_published)
        # No refit is taken from the other's
        named = settings.model_copy(update={"data_dir": tmp_path / str(count)})
        found = walk_each(named, spec_of, store=True, now=clock.now, bar=bar, out=out)
        assert ([*found.values], [*found.errors]) == (["AAA", "CCC"], ["BBB"])
        assert "found 200" in str(found.errors["BBB"])
        documents.append(
            [{**one, "seconds": 0} for one in json.loads(out.read_text(encoding="utf-8"))]
        )
        kept.append([{**row, "run_id": ""} for row in rows("metrics")])
    assert documents[0] == documents[1]
    assert {str(document["symbol"]) for document in documents[1]} == {"AAA", "CCC"}
    assert kept[0] == kept[1] != []
    assert shown[-3:] == [(1, 3), (2, 3), (3, 3)]


SMALL = Settings(symbols=("TEST",), members=1, train_sessions=300)


def test_our_medians_are_volumes_of_the_articles_sessions_each_from_the_newest_bar_before_it():
    bars = random_bars(days=560, seed=11)
    holed = bars.drop(bars.index[-7])
    holed.loc[bars.index[-3], "volume"] = np.nan
    found = our_medians(
        holed, no_events(), SMALL.model_copy(update={"target": "close"}), bar=no_bar
    )
    assert (
        list(found.index)
        == list(unseen_sessions(holed))
        == [*bars.index[-55:-7], *bars.index[[-6, -5, -4, -2, -1]]]
    )
    spec = BacktestSpec(
        "TEST", bars.index[-56].date(), bars.index[-2].date(), refit_every=21, settings=SMALL
    )
    result = backtest(holed, no_events(), spec=spec)
    of = dict(zip(result.origins.tolist(), result.issued[..., MEDIAN], strict=True))
    for session, origin, horizon in ((-8, -9, 1), (-6, -8, 2), (-2, -3, 1)):
        assert found[bars.index[session]] == of[bars.index[origin].date()][horizon - 1]
    with pytest.raises(
        HistoryError, match="5 or more sessions without a bar come before a test session"
    ):
        our_medians(bars.drop(bars.index[-9:-4]), no_events(), SMALL, bar=no_bar)
