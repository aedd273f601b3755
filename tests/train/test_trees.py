from dataclasses import replace

import numpy as np
import pytest

from forecasting.errors import ArtifactError
from forecasting.train import trees
from forecasting.train.linear import unusual_quarters_before
from forecasting.train.pretrained import TREES, newest_shipped, shipped
from forecasting.train.trees import Trees, tree_inputs, tree_medians
from forecasting.vocabulary import HORIZONS
from tests.train.windows import moved_to, some_windows, with_other_sessions_after, without_events


def test_inputs_do_not_change_when_later_sessions_do():
    windows = some_windows(rows=500)
    row = 400
    rows = np.arange(row + 5)
    before = tree_inputs(windows, rows)
    after = tree_inputs(with_other_sessions_after(windows, row), rows)
    assert np.isfinite(before[250:]).all()
    np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
    assert (before[row + 1 :] != after[row + 1 :]).any()


@pytest.mark.parametrize(
    "reports", [[22, 23, 200, 430, 436], [23, 150, 723, 900, 990, *range(1000, 1086, 9)], []]
)
def test_the_inputs_of_a_tree_are_those_of_loops_over_sessions_and_reports(reports):
    windows = some_windows(rows=900)
    flags = windows.flags.copy()
    flags[:, windows.flag_names.index("earnings+0")] = np.isin(np.arange(1086), reports)
    ahead = np.random.default_rng(0).integers(2, size=windows.future_flags.shape)
    windows = replace(windows, flags=flags, future_flags=ahead)
    volume, log_range, absolute, signed, gap = windows.steps.T
    quarters = unusual_quarters_before(windows, volume)
    rows = np.array([249, 250, 254, 255, 536, 537, 899])
    found = tree_inputs(windows, rows)

    def mean(values, end, sessions):
        return sum(values[end - sessions + 1 : end + 1]) / sessions

    def unusual(t):
        return abs(volume[t] - mean(volume, t - 1, 22))

    for place, row in enumerate(rows):
        t = windows.warm_up + row
        level, usual = mean(volume, t, 22), mean(log_range, t, 22)
        closed = [at for at in reports if at >= 23 and t - 700 < at <= t - 5][-8:]
        sizes = [
            np.mean([volume[at + phase] - mean(volume, at - 2, 22) for at in closed] or [0.0])
            for phase in range(-1, 6)
        ]
        since = min([t - at for at in reports if at <= t], default=99)
        of_row = [
            *(volume[t - k] - level for k in range(22)),
            *(mean(volume, t, sessions) - level for sessions in (5, 10, 44, 120, 253)),
            *(log_range[t] - usual, mean(log_range, t, 5) - usual),
            usual - mean(log_range, t, 120),
            *(moved[t] / np.exp(usual) for moved in (absolute, signed, np.abs(gap))),
            sum(unusual(t - k) for k in range(66)) / 66,
            *(*sizes[:4], min(since, 99)),
        ]
        for h in HORIZONS:
            ahead = windows.future_flags[row, h - 1]
            near = [
                ahead[windows.flag_names.index(f"earnings{phase:+d}")] for phase in range(-1, 6)
            ]
            expected = [*of_row, h, *ahead, *quarters[row, h - 1], np.dot(near, sizes)]
            np.testing.assert_allclose(found[place, h - 1], expected, rtol=2e-6, atol=1e-6)


def test_inputs_of_windows_of_a_longer_history_are_the_same():
    longer, windows = some_windows(rows=900), some_windows(rows=650, before=250)
    np.testing.assert_array_equal(
        tree_inputs(longer, np.array([899]))[0], tree_inputs(windows, np.array([649]))[0]
    )


def test_a_tree_is_followed_to_the_leaf_of_its_inputs():
    stumps = Trees(
        feature=np.array([[0, -1, 1, -1, -1], [-1] * 5], dtype=np.int16),
        threshold=np.array([[0.5, 1.0, 2.0, 10.0, 100.0], [0.25] * 5], dtype=np.float32),
        left=np.array([[1, 0, 3, 0, 0], [0] * 5], dtype=np.int16),
        right=np.array([[2, 0, 4, 0, 0], [0] * 5], dtype=np.int16),
    )
    inputs = np.array([[0.5, 9.0], [0.6, 2.0], [0.6, 2.1]], dtype=np.float32)
    np.testing.assert_array_equal(stumps.forecast(inputs), [1.25, 10.25, 100.25])


def test_an_origin_has_the_newest_trees_whose_span_had_ended_and_none_before_every_span():
    days = [np.datetime64(str(entry["trained_to"])) for entry in shipped(TREES)]
    before_all, inside, after = (
        tree_medians(moved_to(some_windows(), day))
        for day in (min(days) - 1, max(days) - 1, max(days))
    )
    assert np.isnan(before_all).all() and np.isfinite(inside).all()
    assert (inside != after).any()
    other_newest = with_other_sessions_after(moved_to(some_windows(), max(days)), 298)
    assert (tree_medians(other_newest) != after).any()


def test_without_earnings_dates_and_for_other_targets_there_are_no_trees():
    for windows in (without_events(some_windows()), some_windows("range")):
        assert np.isnan(tree_medians(windows)).all()


def test_altered_trees_are_refused(monkeypatch):
    def altered(*of):
        return newest_shipped(*of) | {"sha256": "0" * 64}

    monkeypatch.setattr(trees, "newest_shipped", altered)
    with pytest.raises(ArtifactError, match="has changed since"):
        tree_medians(some_windows())
