"""Training against torch's own optimiser and schedule."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from forecasting.train import loop
from forecasting.train.loop import Hyperparameters, Tensors, generator, new_network, train
from forecasting.train.model import Network, pinball
from tests.train.windows import plain_tensors


def trained_by_torch(network: Network, tensors: Tensors, given: Hyperparameters, rng: torch.Generator) -> None:
    dropout = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=rng)))
    steps = given.epochs * -(-len(tensors.ends) // given.batch_size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=given.learning_rate, weight_decay=1e-3, foreach=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, given.learning_rate, total_steps=steps + 1, pct_start=0.3)
    for _ in range(given.epochs):
        for sessions, past, future, truth in loop._shuffled_batches([tensors], given.batch_size, rng):
            optimiser.zero_grad()
            pinball(truth, network(sessions, past, future, dropout)).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            cycle.step()


@pytest.mark.parametrize(
    ("rows", "given", "directed"), [(60, (1, 4e-3), True), (95, (1, 3e-3, 1), False), (280, (3, 1.7e-3, 2), True)]
)
def test_training_is_that_of_torchs_adamw_and_one_cycle_schedule_to_the_bit(
    rows: int, given: tuple[int, float], directed: bool
) -> None:
    tensors = replace(plain_tensors(), rows=np.arange(rows), directed=directed)
    ours, theirs = (new_network(tensors, generator(1, 0)) for _ in range(2))
    train(ours, [tensors], Hyperparameters(*given), rng=generator(2, 0))
    with loop.one_thread():
        trained_by_torch(theirs, tensors, Hyperparameters(*given), generator(2, 0))
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert not torch.equal(ours.linear_past, torch.zeros_like(ours.linear_past))


@pytest.mark.slow
def test_training_and_tests_do_not_import_torch_dynamo_or_scipy_stats() -> None:
    code = """
import sys
from forecasting.evaluate.significance import diebold_mariano
from forecasting.train.loop import Hyperparameters, generator, new_network, train
from tests.train.windows import plain_tensors
tensors = plain_tensors()
diebold_mariano([1.0, 3.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0], horizon=1)
train(new_network(tensors, generator(0, 0)), [tensors], Hyperparameters(1, 1e-3), rng=generator(0, 0))
assert not {"torch._dynamo", "scipy.stats"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
