"""Muon beside AdamW: each parameter is moved by the optimiser it belongs to, and a saved state continues."""

from __future__ import annotations

import copy

import pytest
import torch
from cut3r.optimiser import MuonAdamW, linear_weights, make_optimiser
from torch import nn

RATE, BETAS = 1e-2, (0.9, 0.98)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3))


def step(model: nn.Module, optimiser: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimiser.zero_grad()
    model(torch.randint(5, (7,), generator=generator)).square().sum().backward()
    optimiser.step()


def groups(model: nn.Module) -> list[dict]:
    return [{"params": list(model.parameters()), "weight_decay": 0.1}]


def test_each_parameter_is_moved_as_its_own_optimiser_alone_moves_it() -> None:
    together, apart = small(), small()
    matrices = linear_weights([together])
    assert matrices == {id(together[1].weight), id(together[3].weight)}
    joint = make_optimiser("muon", groups(together), matrices, RATE, BETAS)
    muon = torch.optim.Muon(
        [apart[1].weight, apart[3].weight], lr=RATE, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    rest = [p for p in apart.parameters() if p is not apart[1].weight and p is not apart[3].weight]
    adamw = torch.optim.AdamW(rest, lr=RATE, betas=BETAS, weight_decay=0.1)
    for number in range(3):
        step(together, joint, number)
        generator = torch.Generator().manual_seed(number)
        for optimiser in (muon, adamw):
            optimiser.zero_grad()
        apart(torch.randint(5, (7,), generator=generator)).square().sum().backward()
        muon.step()
        adamw.step()
    for a, b in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_changed_learning_rate_reaches_both_parts() -> None:
    model = small()
    optimiser = MuonAdamW(groups(model), linear_weights([model]), RATE, BETAS)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda _: 0.0)
    before = copy.deepcopy(model.state_dict())
    step(model, optimiser, 0)
    scheduler.step()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_restored_state_goes_on_with_the_same_bits() -> None:
    model = small()
    optimiser = MuonAdamW(groups(model), linear_weights([model]), RATE, BETAS)
    step(model, optimiser, 0)
    again = small()
    again.load_state_dict(model.state_dict())
    restored = MuonAdamW(groups(again), linear_weights([again]), RATE, BETAS)
    restored.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for number in (1, 2):
        step(model, optimiser, number)
        step(again, restored, number)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_closures_are_refused() -> None:
    model = small()
    with pytest.raises(ValueError, match="closure"):
        MuonAdamW(groups(model), linear_weights([model]), RATE, BETAS).step(lambda: 0.0)
