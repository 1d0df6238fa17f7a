from __future__ import annotations

import torch

from tests.cut3r.cut3r_golden import model_of, tiny_frames

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def turned(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """`x` (batch, head, token, width) by rotary positions (token, 2), with complex numbers."""
    halves = []
    for half, position in zip(x.double().chunk(2, dim=-1), positions.unbind(-1), strict=True):
        u, v = half.chunk(2, dim=-1)
        quarter = u.shape[-1]
        angle = position[:, None].double() * 100.0 ** -(torch.arange(quarter).double() / quarter)
        z = torch.complex(u, v) * torch.polar(torch.ones_like(angle), angle)
        halves += [z.real, z.imag]
    return torch.cat(halves, dim=-1)


def explicit_attention(module, x, context, positions):
    """Logits (batch, head, query, key) and output of a cross-attention, written out with a softmax."""
    query, key, value = (
        linear(tokens).double().unflatten(-1, (module.heads, -1)).transpose(1, 2)
        for linear, tokens in ((module.projq, x), (module.projk, context), (module.projv, context))
    )
    logits = turned(query, positions[0]) @ turned(key, positions[1]).transpose(-1, -2) * query.shape[-1] ** -0.5
    out = logits.softmax(-1) @ value
    return logits, module.proj(out.transpose(1, 2).flatten(2).float())


@torch.no_grad()
def explicit_rates(model, frames, positions):
    """The rate per state token of the last of `frames`, from logits that are formed in full."""
    collected = []

    def record(module, args, output):
        logits, out = explicit_attention(module, args[0], args[1], positions)
        torch.testing.assert_close(output[0], out, **CLOSE)  # they are the logits that the attention sees
        collected.append(logits)

    hooks = [block.cross_attn.register_forward_hook(record) for block in model.dec_blocks_state]
    model(frames, state_update="ttt3r")
    for hook in hooks:
        hook.remove()
    last = torch.stack(collected[-model.config.dec_depth :])  # (layer, batch, head, state token, image token)
    return last.mean(dim=(0, 2, 4)).sigmoid()


@torch.no_grad()
def test_the_state_moves_by_the_sigmoid_of_the_mean_attention_logit():
    model, frames = model_of("tiny"), tiny_frames(2, 2, height=48, width=64)
    states = torch.cartesian_prod(torch.arange(5), torch.arange(6))[:28]  # a grid of even width for 28 tokens
    patches = torch.cartesian_prod(torch.arange(3), torch.arange(4))
    positions = (states, torch.cat((torch.tensor([[-1, -1]]), patches)))
    rates = explicit_rates(model, frames, positions)[..., None]
    assert rates.std() > 1e-3
    old, new = model(frames[:, :1]).state, model(frames).state
    expected = old + rates * (new - old)
    torch.testing.assert_close(model(frames, state_update="ttt3r").state, expected.float(), **CLOSE)


@torch.no_grad()
def test_only_the_state_is_blended_and_only_from_the_second_update_on():
    model, frames = model_of("tiny"), tiny_frames(1, 3)
    plain, blended = model(frames), model(frames, state_update="ttt3r")
    torch.testing.assert_close(plain.patch_tokens[:, :2], blended.patch_tokens[:, :2], **CLOSE)
    assert (plain.patch_tokens[:, 2] - blended.patch_tokens[:, 2]).abs().max() > 1e-3
    two = model(frames[:, :2]), model(frames[:, :2], state_update="ttt3r")
    torch.testing.assert_close(two[0].memory, two[1].memory, **CLOSE)
    one = model(frames[:, :1]), model(frames[:, :1], state_update="ttt3r")
    torch.testing.assert_close(one[0].state, one[1].state, **CLOSE)


@torch.no_grad()
def test_the_first_update_after_a_reset_replaces_the_state():
    model, frames = model_of("tiny"), tiny_frames(1, 3)
    reset = torch.tensor([[False, True, False]])
    # The frame after the reset updates a fresh state, so both rules agree on it.
    plain = model(frames[:, 1:], reset=reset[:, 1:])
    blended = model(frames[:, 1:], reset=reset[:, 1:], state_update="ttt3r")
    torch.testing.assert_close(plain.state, blended.state, **CLOSE)
    # A frame that may not update leaves the state fresh.
    update = torch.tensor([[False, True, True]])
    late = model(frames[:, :2], update=update[:, :2], state_update="ttt3r")
    torch.testing.assert_close(late.state, model(frames[:, :2], update=update[:, :2]).state, **CLOSE)


@torch.no_grad()
def test_elements_of_a_batch_are_fresh_on_their_own():
    model, frames = model_of("tiny"), tiny_frames(2, 3)
    reset = torch.tensor([[False, False, False], [False, True, False]])
    both = model(frames, reset=reset, state_update="ttt3r")
    for i in range(2):
        one = model(frames[i : i + 1], reset=reset[i : i + 1], state_update="ttt3r")
        torch.testing.assert_close(both.state[i : i + 1], one.state, **CLOSE)
