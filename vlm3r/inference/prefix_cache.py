"""A key/value cache whose beginning outlives what is written after it."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

GROWTH = 1.25
"""Factor by which a buffer that is full grows, so that long answers do not copy the cache at every token; the most
room that outlives an answer."""


class PrefixLayer(DynamicLayer):
    """Keys and values `(1, head, token, dim)` of one layer in buffers, of which the first `length` tokens count.

    Tokens are written behind those that count; setting `length` back forgets the last ones at no cost.
    """

    length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make the buffers, empty, on the device and in the precision of the first tokens."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write tokens behind those that count, and return views of all that count now."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, end = self.length, self.length + key_states.shape[2]
        self.keys = _with_room(self.keys, start, end)
        self.values = _with_room(self.values, start, end)
        self.keys[:, :, start:end] = key_states
        self.values[:, :, start:end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def trim(self) -> None:
        """Give up room for much more than the tokens that count."""
        if self.keys is None or self.values is None or self.keys.shape[2] <= GROWTH * self.length:
            return
        self.keys = self.keys[:, :, : self.length].clone()
        self.values = self.values[:, :, : self.length].clone()

    def get_seq_length(self) -> int:
        """Tokens that count."""
        return self.length


class PrefixCache(Cache):
    """The cache of one sequence, which can be set back to an earlier length."""

    def __init__(self, layer_count: int):
        super().__init__(layers=[PrefixLayer() for _ in range(layer_count)])
        self.times_set_back = 0
        """How often tokens were forgotten; whoever wrote behind some tokens knows by it that they may be others now."""

    @property
    def length(self) -> int:
        """Tokens that count."""
        return self.get_seq_length()

    def set_back(self, length: int) -> None:
        """Forget all tokens from `length` on.

        Raises:
            ValueError: the cache is shorter.
        """
        if length > self.length:
            raise ValueError(f"a cache of {self.length} tokens cannot be set back to {length}")
        self.times_set_back += 1
        for layer in self._prefix_layers:
            layer.length = length

    def trim(self) -> None:
        """Give up room for much more than the tokens that count."""
        for layer in self._prefix_layers:
            layer.trim()

    def first(self, length: int) -> list[tuple[Tensor, Tensor]]:
        """Views of each layer's keys and values `(1, head, token, dim)` of the first `length` tokens."""
        pairs = []
        for layer in self._prefix_layers:
            assert layer.keys is not None
            assert layer.values is not None
            pairs.append((layer.keys[:, :, :length], layer.values[:, :, :length]))
        return pairs

    def beginning(self, length: int) -> PrefixCache:
        """A cache of its own that begins with the first `length` tokens of this one."""
        copy = PrefixCache(len(self.layers))
        for index, (keys, values) in enumerate(self.first(length)):
            copy.update(keys, values, index)
        return copy

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        tensors = [tensor for layer in self._prefix_layers for tensor in (layer.keys, layer.values)]
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    @property
    def _prefix_layers(self) -> list[PrefixLayer]:
        return cast(list[PrefixLayer], self.layers)


def _with_room(buffer: Tensor | None, used: int, needed: int) -> Tensor:
    """The buffer, or one that has room for `needed` tokens and holds the first `used` ones."""
    assert buffer is not None
    if buffer.shape[2] >= needed:
        return buffer
    room = needed if not used else max(needed, int(GROWTH * buffer.shape[2]))
    shape = list(buffer.shape)
    shape[2] = room
    larger = torch.empty(shape, dtype=buffer.dtype, device=buffer.device)
    larger[:, :, :used] = buffer[:, :, :used]
    return larger
