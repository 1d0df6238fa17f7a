"""Random weights for a model that is to be trained from scratch."""

from __future__ import annotations

import torch
from torch import nn

TOKEN_STD = 0.02


@torch.no_grad()
def initialise(model: nn.Module) -> None:
    """Xavier-uniform linears and convolutions with zero biases, unit norms, and tokens of standard deviation 0.02.

    Depends on nothing but torch's random state; does nothing on the meta device.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            # A patch convolution is a linear layer over the patch.
            nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.trunc_normal_(module.weight, std=TOKEN_STD)
    for name, parameter in model.named_parameters():
        if name.endswith(("_token", ".mem")):
            nn.init.trunc_normal_(parameter, std=TOKEN_STD)
