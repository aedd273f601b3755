"""The boosted trees: inputs without look-ahead, trees followed as by hand, and none for an origin inside their span."""

from dataclasses import replace

import numpy as np
import pytest

from forecasting.errors import ArtifactError
from forecasting.preprocess.windows import Windows
from forecasting.train import trees
from forecasting.train.trees import Trees, shipped_trees, tree_inputs, tree_medians
from tests.train.windows import some_windows


def test_inputs_do_not_change_when_later_sessions_do():
    windows, row = some_windows(rows=500), 400
    later = windows.warm_up + row + 1
    steps, flags = windows.steps.copy(), windows.flags.copy()
    steps[later:] += 1.0
    flags[later:] = 1.0 - flags[later:]
    rows = np.arange(row + 5)
    before, after = tree_inputs(windows, rows), tree_inputs(replace(windows, steps=steps, flags=flags), rows)
    assert np.isfinite(before[250:]).all()
    np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
    assert (before[row + 1 :] != after[row + 1 :]).any()


def test_inputs_of_windows_cut_from_a_longer_history_are_the_same():
    windows = some_windows(rows=900)
    cut = windows.cut(250, 900, known_to=899)
    np.testing.assert_array_equal(tree_inputs(windows, np.array([899]))[0], tree_inputs(cut, np.array([649]))[0])


def test_the_size_of_reactions_is_the_mean_of_those_that_had_closed():
    """A naive twin: of each of the newest eight reports, log volume less the level two sessions before its reaction."""
    windows, row = some_windows(rows=900), 898
    session, volume = windows.warm_up + row, windows.steps[:, 0]
    reacting = np.flatnonzero(windows.flags[:, windows.flag_names.index("earnings+0")])
    reports = [at for at in reacting if at + 5 <= session]
    sizes = [[volume[at + phase] - volume[at - 23 : at - 1].mean() for phase in range(-1, 6)] for at in reports[-8:]]
    means, since = trees._reactions(windows, np.array([row]))
    np.testing.assert_allclose(means[0], np.mean(sizes, axis=0))
    assert since[0] == session - max(reacting[reacting <= session])


def test_a_tree_is_followed_to_the_leaf_of_its_inputs():
    stumps = Trees(
        feature=np.array([[0, -1, 1, -1, -1], [-1, 0, 0, 0, 0]], dtype=np.int16),
        threshold=np.array([[0.5, 1.0, 2.0, 10.0, 100.0], [0.25, 0, 0, 0, 0]], dtype=np.float32),
        left=np.array([[1, 0, 3, 0, 0], [0] * 5], dtype=np.int16),
        right=np.array([[2, 0, 4, 0, 0], [0] * 5], dtype=np.int16),
    )
    inputs = np.array([[0.5, 9.0], [0.6, 2.0], [0.6, 2.1]], dtype=np.float32)
    np.testing.assert_array_equal(stumps.forecast(inputs), [1.25, 10.25, 100.25])


def test_an_origin_has_the_newest_trees_whose_span_had_ended_and_none_before_every_span():
    days = [np.datetime64(str(entry["trained_to"])) for entry in shipped_trees()]
    windows = some_windows()
    newest = max(days)

    def at(day: np.datetime64) -> Windows:
        return replace(windows, sessions=windows.sessions + (day - windows.origins[-1]))

    inside, after = tree_medians(at(newest - 1)), tree_medians(at(newest))
    assert np.isfinite(inside).all()
    assert (inside != after).any()
    assert np.isnan(tree_medians(at(min(days) - 1))).all()


def test_without_earnings_dates_and_for_other_targets_there_are_no_trees():
    windows = some_windows()
    without = replace(windows, flags=np.zeros_like(windows.flags))
    assert np.isnan(tree_medians(without)).all()
    assert np.isnan(tree_medians(some_windows("range"))).all()


def test_altered_trees_are_refused(monkeypatch: pytest.MonkeyPatch):
    altered = [entry | {"sha256": "0" * 64} for entry in shipped_trees()]
    monkeypatch.setattr(trees, "shipped_trees", lambda: altered)
    with pytest.raises(ArtifactError, match="has changed since"):
        tree_medians(some_windows())
