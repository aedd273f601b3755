"""The optimiser against torch's own classes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from forecasting.train.loop import OneCycleAdamW

DECAY = 1e-3


def network() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.ModuleDict({"used": torch.nn.GRU(3, 4), "unused": torch.nn.Linear(2, 2)})


def run_backward(network: torch.nn.ModuleDict, step: int) -> None:
    given = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(step))
    network["used"](given)[0].square().sum().backward()


@pytest.mark.parametrize(("steps", "peak"), [(1, 0.004), (2, 0.003), (7, 0.0017), (40, 0.004)])
def test_weights_are_those_of_torchs_adamw_and_one_cycle_schedule_to_the_bit(steps: int, peak: float) -> None:
    ours, theirs = network(), network()
    optimiser = OneCycleAdamW(ours.parameters(), peak=peak, steps=steps, weight_decay=DECAY)
    expected = torch.optim.AdamW(theirs.parameters(), lr=peak, weight_decay=DECAY, foreach=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(expected, peak, total_steps=steps + 1, pct_start=0.3)
    for step in range(steps):
        run_backward(ours, step)
        optimiser.step()
        expected.zero_grad()
        run_backward(theirs, step)
        expected.step()
        cycle.step()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(one, other)
    assert all(weight.grad is None for weight in ours.parameters())


def test_a_step_does_not_import_torch_dynamo() -> None:
    code = """
import sys, torch
from forecasting.train.loop import OneCycleAdamW
weight = torch.zeros(2, requires_grad=True)
weight.sum().backward()
OneCycleAdamW([weight], peak=0.1, steps=1, weight_decay=0.0).step()
assert float(weight.sum()) < 0.0
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
