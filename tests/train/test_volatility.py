import numpy as np

from forecasting.preprocess.features import STEP_NAMES
from forecasting.train.volatility import log_volatility, squared_moves
from forecasting.vocabulary import HORIZONS
from tests.train.windows import some_windows


def test_the_squared_move_of_a_session_counts_its_range_and_its_gap():
    steps = np.zeros((2, len(STEP_NAMES)))
    steps[:, STEP_NAMES.index("log_range")] = np.log([0.02, 0.02])
    steps[:, STEP_NAMES.index("gap")] = [0.0, -0.03]
    np.testing.assert_allclose(squared_moves(steps), [0.0004, 0.0004 + 4 * np.log(2) * 0.0009])


def test_the_volatility_of_a_row_is_that_of_the_sessions_after_it_alone():
    windows = some_windows("close")
    squared = squared_moves(windows.steps)[windows.warm_up :]
    for h, horizon in enumerate(HORIZONS):
        expected = [
            0.5 * np.log(sum(squared[n + 1 : n + 1 + horizon])) if n + horizon < len(windows) else np.nan
            for n in range(len(windows))
        ]
        np.testing.assert_allclose(log_volatility(windows, h), expected)
