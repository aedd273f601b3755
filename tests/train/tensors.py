"""Tensors without a scaler, for tests of the network alone."""

import numpy as np
import torch

from forecasting.train.calendar_effects import AdjustedWindows
from forecasting.train.loop import Tensors


def plain_tensors(adjusted: AdjustedWindows, warm_up: int) -> Tensors:
    parts = (np.nan_to_num(adjusted.steps), adjusted.past, adjusted.future, adjusted.truth)
    steps, past, future, truth = (torch.as_tensor(part, dtype=torch.float32) for part in parts)
    return Tensors(steps=steps, past=past, future=future, truth=truth, warm_up=warm_up, directed=True)
