"""Windows and settings that the tests of this folder share: small, seeded, built once."""

from functools import cache

import pandas as pd

from forecasting.preprocess.windows import Windows, make_windows
from forecasting.settings import Settings
from forecasting.vocabulary import Target
from tests.builders import no_events, random_bars

SETTINGS = Settings(train_sessions=300, members=2, seed=3)
WARM_UP_AND_SPARE = 260


@cache
def some_windows(target: Target = "volume", *, seed: int = 5, rows: int = 300) -> Windows:
    bars = random_bars(days=rows + WARM_UP_AND_SPARE, seed=seed)
    origin = bars.index[-1].date()
    return make_windows(bars, some_events(bars), origin=origin, target=target, exchange="XNYS", train_sessions=rows)


def some_events(bars: pd.DataFrame) -> pd.DataFrame:
    """Earnings every 63 sessions, known 21 ahead."""
    at = list(range(100, len(bars) - 1, 63))
    if not at:
        return no_events()
    sessions, known = bars.index[at], bars.index[[place - 21 for place in at]]
    return pd.DataFrame({"session": sessions, "kind": "earnings", "known_from": known})
