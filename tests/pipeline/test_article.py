"""Our medians beside the article's experiment."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.article import unseen_sessions
from forecasting.backtest.walk_forward import BacktestSpec, backtest
from forecasting.errors import HistoryError
from forecasting.pipeline.article import our_medians
from forecasting.settings import Settings
from forecasting.vocabulary import MEDIAN
from tests.builders import no_events, random_bars

SMALL = Settings(symbols=("TEST",), members=1, train_sessions=300)


def test_our_medians_are_volumes_of_the_articles_sessions_each_from_the_newest_bar_before_it() -> None:
    bars = random_bars(days=560, seed=11)
    holed = bars.drop(bars.index[-7])
    holed.loc[bars.index[-3], "volume"] = np.nan
    found = our_medians(holed, no_events(), SMALL.model_copy(update={"target": "close"}))
    assert list(found.index) == list(unseen_sessions(holed)) == [*bars.index[-55:-7], *bars.index[[-6, -5, -4, -2, -1]]]
    spec = BacktestSpec("TEST", bars.index[-56].date(), bars.index[-2].date(), refit_every=21, settings=SMALL)
    result = backtest(holed, no_events(), spec=spec)
    of = dict(zip(result.origins.tolist(), result.issued[..., MEDIAN], strict=True))
    for session, origin, horizon in ((-8, -9, 1), (-6, -8, 2), (-2, -3, 1)):
        assert found[bars.index[session]] == of[bars.index[origin].date()][horizon - 1]


def test_a_test_session_after_five_without_a_bar_has_no_median_of_ours() -> None:
    bars = random_bars(days=560, seed=11)
    assert len(our_medians(bars.drop(bars.index[-9:-5]), no_events(), SMALL)) == 53
    with pytest.raises(HistoryError, match="5 or more sessions without a bar come before a test session"):
        our_medians(bars.drop(bars.index[-9:-4]), no_events(), SMALL)
