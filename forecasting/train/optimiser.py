"""AdamW on a one-cycle schedule by torch's functions: its classes import torch._dynamo, a second of CPU a process."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adamw import adamw

_RISING = 0.3  # share of the steps on which the rate rises
_PEAK_BY_FIRST = 25.0  # the peak rate by the first rate
_FIRST_BY_LAST = 1e4  # the first rate by the last one
_BETAS = (0.85, 0.95)  # of the first moment, at the peak rate and at the ends
_SECOND_BETA = 0.999
_EPSILON = 1e-8


class OneCycleAdamW:
    """The bits of torch.optim.AdamW under torch.optim.lr_scheduler.OneCycleLR, both with torch's defaults.

    The rate rises from a 25th of its peak along half a cosine and falls along the next half to nearly zero, the first
    moment's beta falls and rises with it (Smith and Topin 2018, arXiv:1708.07120).
    """

    def __init__(self, weights: Iterable[Tensor], *, peak: float, steps: int, weight_decay: float) -> None:
        self._weights = list(weights)
        self._moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in self._weights]
        self._taken = [torch.tensor(0.0) for _ in self._weights]
        self._peak, self._steps, self._weight_decay = peak, steps, weight_decay
        self._step = 0

    def step(self) -> None:
        """Move each weight that has a gradient, and clear the gradients."""
        moved = [at for at, weight in enumerate(self._weights) if weight.grad is not None]
        rate, beta = one_cycle(self._step, self._steps, peak=self._peak)
        with torch.no_grad():
            adamw(
                [self._weights[at] for at in moved],
                [gradient for at in moved if (gradient := self._weights[at].grad) is not None],
                [self._moments[at][0] for at in moved],
                [self._moments[at][1] for at in moved],
                [],
                [self._taken[at] for at in moved],
                foreach=True,
                amsgrad=False,
                beta1=beta,
                beta2=_SECOND_BETA,
                lr=rate,
                weight_decay=self._weight_decay,
                eps=_EPSILON,
                maximize=False,
            )
        for weight in self._weights:
            weight.grad = None
        self._step += 1


def one_cycle(step: int, steps: int, *, peak: float) -> tuple[float, float]:
    """Learning rate and first beta of a step, the first being 0.

    Args:
        step: At most `steps`.
        steps: In all.
        peak: The highest rate.
    """
    first = peak / _PEAK_BY_FIRST
    top = _RISING * (steps + 1) - 1
    if step <= top:
        return _half_cosine(first, peak, step / top), _half_cosine(_BETAS[1], _BETAS[0], step / top)
    fallen = (step - top) / (steps - top)
    return _half_cosine(peak, first / _FIRST_BY_LAST, fallen), _half_cosine(_BETAS[0], _BETAS[1], fallen)


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
