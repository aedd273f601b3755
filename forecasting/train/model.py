"""The network: an LSTM over the look-back joined with future covariates, and a linear path.

Quantiles cannot cross: softplus keeps the steps above and below the median positive, and one factor
per row and horizon scales them all.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES

# Version of the network's shape and of its input features; weights of another version are refused
ARCHITECTURE = 2
HIDDEN = 32
HEAD = 64
DROPOUT = 0.1

H = len(HORIZONS)
# In model scale, where usual ones are below 3; exp(-20) is below the last bit of a float
_LARGE_STEP = 20.0
_SIDE = len(QUANTILES) - MEDIAN - 1  # levels above the median, and as many below


class Network(nn.Module):
    """One member of the ensemble, for the features of sessions, rows and target sessions."""

    def __init__(self, steps: int, past: int, future: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(steps, HIDDEN, batch_first=True)
        self.from_state = nn.Linear(HIDDEN, HEAD)
        self.from_past = nn.Linear(past, HEAD, bias=False)
        self.from_flags = nn.Linear(future, HEAD, bias=False)
        self.from_horizon = nn.Parameter(torch.empty(H, HEAD))
        self.shape = nn.Linear(HEAD, len(QUANTILES) + 1)
        self.shape_bias = nn.Parameter(torch.empty(H, len(QUANTILES) + 1))
        # The linear path: median and log width, per horizon, from lags and future covariates.
        self.linear_past = nn.Parameter(torch.empty(past, H, 2))
        self.linear_flags = nn.Parameter(torch.empty(future, H, 2))

    def forward(
        self, steps: Tensor, past: Tensor, future: Tensor, rng: torch.Generator | None = None
    ) -> Tensor:
        """Quantiles (B, L, H, Q) for the last L of the sessions `steps` (B, T, S), oldest first.

        Args:
            steps: features of each session.
            past: (B, L, P) features of these L sessions as origins.
            future: (B, L, H, K) covariates of their target sessions.
            rng: for dropout; None for none.
        """
        state = _dropout(self.lstm(steps)[0][:, -past.shape[1] :], rng)  # (B, L, HIDDEN)
        row = self.from_state(state) + self.from_past(past)  # (B, L, HEAD)
        joined = row[:, :, None] + self.from_flags(future) + self.from_horizon  # (B, L, H, HEAD)
        # (B, L, H, Q + 1)
        raw = self.shape(_dropout(functional.relu(joined), rng)) + self.shape_bias
        linear = torch.einsum("blp,pho->blho", past, self.linear_past)
        linear = linear + torch.einsum("blhc,cho->blho", future, self.linear_flags)  # (B, L, H, 2)
        median = raw[..., :1] + linear[..., :1]
        width = torch.exp((raw[..., 1:2] + linear[..., 1:]).clamp(-3.0, 3.0))
        above = functional.softplus(raw[..., 2 : 2 + _SIDE]).cumsum(-1) * width
        below = functional.softplus(raw[..., 2 + _SIDE :]).cumsum(-1) * width
        return torch.cat([median - below.flip(-1), median, median + above], dim=-1)


def _dropout(values: Tensor, rng: torch.Generator | None) -> Tensor:
    # nn.Dropout uses the generator of the process, which others share: one seed would not always
    # give the same bits.
    if rng is None:
        return values
    mask = torch.rand(values.shape, generator=rng) >= DROPOUT
    return values * mask / (1.0 - DROPOUT)


def initialise(network: Network, truth: Tensor, rng: torch.Generator) -> None:
    """Set random weights, with which the quantiles are those of `truth` (N, H).

    The linear path starts at zero, all else uniform within 1 / sqrt(fan-in) as in torch; the bias
    of the forget gate is 1 higher (Jozefowicz et al., 2015).
    """
    levels = torch.tensor(QUANTILES, dtype=truth.dtype)
    quantiles = torch.nanquantile(truth, levels, dim=0).T  # (H, Q)
    gaps = torch.diff(quantiles, dim=-1).clamp_min(1e-2)
    steps = torch.cat([gaps[:, MEDIAN:], gaps[:, :MEDIAN].flip(-1)], dim=-1)
    # The inverse of softplus; far above 1 it is the step itself, and its exponential infinite.
    inverse = torch.where(steps > _LARGE_STEP, steps, torch.log(torch.expm1(steps)))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            fan_in = weight.shape[-1] if name != "from_horizon" and weight.ndim > 1 else HIDDEN
            weight.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=rng)
        network.lstm.get_parameter("bias_ih_l0")[HIDDEN : 2 * HIDDEN] += 1.0
        network.linear_past.zero_()
        network.linear_flags.zero_()
        network.shape.weight *= 0.3
        network.shape_bias.copy_(
            torch.cat([quantiles[:, MEDIAN : MEDIAN + 1], torch.zeros(H, 1), inverse], dim=-1)
        )


def pinball(truth: Tensor, quantiles: Tensor) -> Tensor:
    """Mean pinball loss of quantiles (.., Q) against the finite values of truth (..).

    The same as `pinball` of losses.py, on tensors.
    """
    finite = torch.isfinite(truth)
    levels = torch.tensor(QUANTILES, dtype=quantiles.dtype)
    error = torch.where(finite, truth, 0.0)[..., None] - quantiles
    loss = torch.maximum(levels * error, (levels - 1.0) * error).mean(-1)
    return (loss * finite).sum() / finite.sum().clamp_min(1)
