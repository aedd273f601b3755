"""An ensemble's forecasts: the quantiles of each of its networks, and their mean."""

from dataclasses import dataclass

import numpy as np
import torch

from forecasting.errors import ArtifactError
from forecasting.losses import Floats
from forecasting.preprocess.features import LOOKBACK
from forecasting.preprocess.windows import Windows
from forecasting.train.calendar_effects import AdjustedWindows, Rows
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.loop import Tensors, forecast_rows_in_place, load_members
from forecasting.train.prepare import prepare_like
from forecasting.vocabulary import HORIZONS


@dataclass(frozen=True)
class Members:
    """Quantiles of each network of an ensemble."""

    adjusted: Floats  # (M, n, H, Q) in adjusted scale, ascending
    windows: AdjustedWindows  # the windows that they were adjusted by
    rows: Rows  # (n,) the rows forecast

    def mean(self) -> Floats:
        """(n, H, Q) the ensemble's in model scale."""
        return self.windows.from_adjusted(np.mean(self.adjusted, axis=0), self.rows)

    def each(self) -> Floats:
        """(M, n, H, Q) every member's in model scale."""
        return np.stack([self.windows.from_adjusted(one, self.rows) for one in self.adjusted])


def scaled_quantiles(checkpoint: Checkpoint, windows: Windows, rows: Rows) -> Floats:
    """(len(rows), H, Q) the ensemble's mean quantiles in the windows' model scale, ascending."""
    return member_quantiles(checkpoint, windows, rows).mean()


def member_quantiles(checkpoint: Checkpoint, windows: Windows, rows: Rows) -> Members:
    """Every member's quantiles at `rows`; ArtifactError where its features are not the windows'."""
    prepared = prepare_like(checkpoint, windows)
    tensors = prepared.training.tensors
    adjusted = [forecast_rows_in_place(network, tensors, rows) for network in load_members(checkpoint.weights, tensors)]
    return Members(np.stack(adjusted), prepared.adjusted, rows)


def check_runs(checkpoint: Checkpoint) -> None:
    """Run the checkpoint once on zero inputs; ArtifactError where this code cannot evaluate it."""
    card, flags = checkpoint.card, checkpoint.weights.get("0.linear_flags")
    tensors = Tensors(
        steps=torch.zeros(LOOKBACK, len(card.step_mean)),
        past=torch.zeros(1, len(card.past_mean)),
        future=torch.zeros(1, len(HORIZONS), 0 if flags is None else len(flags)),
        truth=torch.zeros(1, len(HORIZONS)),
        warm_up=LOOKBACK - 1,
        directed=card.target != "close",
    )
    for network in load_members(checkpoint.weights, tensors):
        if not np.isfinite(forecast_rows_in_place(network, tensors, np.array([0]))).all():
            raise ArtifactError(
                "Expected finite quantiles for zero inputs; found others from a member of this model. "
                "Promote another model, or fit from scratch (--mode scratch)."
            )
