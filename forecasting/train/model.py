"""The network: an LSTM over a row's look-back, joined to each target session's flags, with a linear path beside it.

Quantiles never cross by construction: a median, and above and below it steps that softplus keeps positive, widened or
narrowed together by one factor per row and horizon.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES

ARCHITECTURE = 2
"""Version of the shape below and of the features it is shown; weights of another version are refused."""

HIDDEN = 32
HEAD = 64
DROPOUT = 0.1

H = len(HORIZONS)
_SIDE = len(QUANTILES) - MEDIAN - 1  # levels above the median, and as many below


class Network(nn.Module):
    """One member of the ensemble.

    Args:
        steps: S, features of a session in the look-back.
        past: P, features of a row.
        flags: K, what is known of a target session.
        directed: Whether the median may depend on the row. Nothing tried can tell a return's sign, and what a network
            believes to know of it only costs (close, MAE 1.474 for 1.461): there it learns the width alone.
    """

    def __init__(self, steps: int, past: int, flags: int, *, directed: bool = True) -> None:
        super().__init__()
        self.directed = directed
        self.lstm = nn.LSTM(steps, HIDDEN, batch_first=True)
        self.from_state = nn.Linear(HIDDEN, HEAD)
        self.from_past = nn.Linear(past, HEAD, bias=False)
        self.from_flags = nn.Linear(flags, HEAD, bias=False)
        self.from_horizon = nn.Parameter(torch.empty(H, HEAD))
        self.shape = nn.Linear(HEAD, len(QUANTILES) + 1)
        self.shape_bias = nn.Parameter(torch.empty(H, len(QUANTILES) + 1))
        # The linear path: median and log width, per horizon, straight from lags and flags.
        self.linear_past = nn.Parameter(torch.empty(past, H, 2))
        self.linear_flags = nn.Parameter(torch.empty(flags, H, 2))

    def forward(self, steps: Tensor, past: Tensor, known: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Quantiles (B, L, H, Q) of the last L sessions of each sequence.

        Args:
            steps: (B, T, S) sessions, oldest first.
            past: (B, L, P) features of the last L.
            known: (B, L, H, K) what is known of their target sessions.
            rng: Where dropout draws from; without it nothing is dropped.
        """
        state = _drop(self.lstm(steps)[0][:, -past.shape[1] :], rng)  # (B, L, HIDDEN)
        row = self.from_state(state) + self.from_past(past)  # (B, L, HEAD)
        joined = row[:, :, None] + self.from_flags(known) + self.from_horizon  # (B, L, H, HEAD)
        raw = self.shape(_drop(functional.relu(joined), rng)) + self.shape_bias  # (B, L, H, Q + 1)
        linear = torch.einsum("blp,pho->blho", past, self.linear_past)
        linear = linear + torch.einsum("blhc,cho->blho", known, self.linear_flags)  # (B, L, H, 2)
        median = raw[..., :1] + linear[..., :1]
        if not self.directed:
            median = self.shape_bias[:, :1].expand_as(median)
        return _quantiles(median, raw, linear)


def _quantiles(median: Tensor, raw: Tensor, linear: Tensor) -> Tensor:
    width = torch.exp((raw[..., 1:2] + linear[..., 1:]).clamp(-3.0, 3.0))
    above = functional.softplus(raw[..., 2 : 2 + _SIDE]).cumsum(-1) * width
    below = functional.softplus(raw[..., 2 + _SIDE :]).cumsum(-1) * width
    return torch.cat([median - below.flip(-1), median, median + above], dim=-1)


def _drop(values: Tensor, rng: torch.Generator | None) -> Tensor:
    # nn.Dropout draws from the process's generator, which others share: one seed would not always give the same bits.
    if rng is None:
        return values
    kept = torch.rand(values.shape, generator=rng, device=values.device) >= DROPOUT
    return values * kept / (1.0 - DROPOUT)


def initialise(network: Network, truth: Tensor, rng: torch.Generator) -> None:
    """Draw the weights; start the quantiles at those of `truth` (N, H) and the linear path at nothing.

    Uniform within 1 / sqrt(fan-in) as in torch; the forget gate opens by 1 (Jozefowicz et al., 2015).
    """
    with torch.no_grad():
        for name, weight in network.named_parameters():
            fan_in = weight.shape[-1] if name != "from_horizon" and weight.ndim > 1 else HIDDEN
            weight.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=rng)
        network.lstm.get_parameter("bias_ih_l0")[HIDDEN : 2 * HIDDEN] += 1.0
        network.linear_past.zero_()
        network.linear_flags.zero_()
        network.shape.weight *= 0.3
        network.shape_bias.copy_(_starting_shape(truth))


def _starting_shape(truth: Tensor) -> Tensor:
    levels = torch.tensor(QUANTILES, dtype=truth.dtype)
    quantiles = torch.nanquantile(truth, levels, dim=0).T  # (H, Q)
    gaps = torch.diff(quantiles, dim=-1).clamp_min(1e-2)
    steps = torch.cat([gaps[:, MEDIAN:], gaps[:, :MEDIAN].flip(-1)], dim=-1)
    inverse = torch.log(torch.expm1(steps))  # softplus of it gives the step back
    return torch.cat([quantiles[:, MEDIAN : MEDIAN + 1], torch.zeros(H, 1), inverse], dim=-1)


def pinball(truth: Tensor, quantiles: Tensor) -> Tensor:
    """Mean pinball loss of quantiles (.., Q) against truth (..), over what is finite."""
    known = torch.isfinite(truth)
    levels = torch.tensor(QUANTILES, dtype=quantiles.dtype, device=quantiles.device)
    away = torch.where(known, truth, 0.0)[..., None] - quantiles
    loss = torch.maximum(levels * away, (levels - 1.0) * away).mean(-1)
    return (loss * known).sum() / known.sum().clamp_min(1)
