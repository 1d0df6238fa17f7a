"""AdamW, or Muon for the matrices with AdamW for the rest, as one optimiser."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

Method = Literal["adamw", "muon"]
METHODS: tuple[Method, ...] = ("adamw", "muon")
MATRIX = "matrix"


def linear_weights(modules: Iterable[nn.Module], without: Collection[str] = ()) -> set[int]:
    """`id` of the weights of linear layers, apart from layers whose own name is in `without`."""
    return {
        id(layer.weight)
        for module in modules
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and name.rsplit(".", 1)[-1] not in without
    }


class MuonAdamW(Optimizer):
    """Muon (momentum made orthogonal by Newton-Schulz steps) on some matrices, AdamW on every other parameter.

    Both are torch's own. Muon's steps are scaled to the size of AdamW's, so one learning rate serves both, and the
    parameter groups may change it together. From random weights, attention that looks things up appears several times
    sooner than under AdamW alone.
    """

    def __init__(
        self,
        groups: Iterable[Mapping[str, Any]],
        matrices: Collection[int],
        lr: float,
        betas: tuple[float, float],
        eps: float = 1e-8,
        fused: bool = True,
    ):
        """Args:
        groups: as AdamW's, each with `params`, and its own `weight_decay` and `lr` where they differ.
        matrices: `id` of the parameters, all with two axes, that Muon moves.
        lr: learning rate of groups without one.
        betas: AdamW's averages; Muon's momentum is the first + 0.05, at most 0.95.
        eps: AdamW's.
        fused: one kernel for all of AdamW's parameters.
        """
        split: list[dict[str, Any]] = []
        for group in groups:
            params = list(group["params"])
            for matrix in (True, False):
                chosen = [p for p in params if (id(p) in matrices) == matrix]
                if chosen:
                    split.append({**group, "params": chosen, MATRIX: matrix})
        self._others: AdamW | None = None
        self._matrices: Muon | None = None
        matrix, rest = ([g for g in split if g[MATRIX] == wanted] for wanted in (True, False))
        if matrix:
            self._matrices = Muon(
                matrix, lr=lr, momentum=min(betas[0] + 0.05, 0.95), adjust_lr_fn="match_rms_adamw", weight_decay=0.0
            )
        if rest:
            self._others = AdamW(rest, lr=lr, betas=betas, eps=eps, fused=fused)
        filled = [group for part in self._parts() for group in part.param_groups]
        super().__init__(filled, {"lr": lr, "fused": fused})
        self._share()

    def _parts(self) -> list[Optimizer]:
        return [part for part in (self._matrices, self._others) if part is not None]

    def _share(self) -> None:
        """Let both parts work on this optimiser's groups and state."""
        for part in self._parts():
            part.param_groups = [g for g in self.param_groups if g[MATRIX] == (part is self._matrices)]
            part.state = self.state

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step of both; closures are not taken."""
        if closure is not None:
            raise ValueError("this optimiser takes no closure")
        for part in self._parts():
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; both parts go on from it."""
        super().load_state_dict(state_dict)
        self._share()


def make_optimiser(
    method: Method,
    groups: Iterable[Mapping[str, Any]],
    matrices: Collection[int],
    lr: float,
    betas: tuple[float, float],
    eps: float = 1e-8,
    fused: bool = True,
) -> Optimizer:
    """AdamW over the groups, or `MuonAdamW`; arguments as there."""
    if method == "muon":
        return MuonAdamW(groups, matrices, lr, betas, eps, fused)
    return AdamW([dict(group) for group in groups], lr=lr, betas=betas, eps=eps, fused=fused)
