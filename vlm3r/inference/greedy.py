"""Greedy answers to several prompts that begin alike, in one sequence behind the shared beginning.

The prompts' own tokens stand one after the other behind the shared ones. A mask lets each prompt see the shared tokens
and itself, and its positions continue from the end of the shared ones, so that every token has the context and the
position that it has in a prompt of its own. The shared keys and values are read in place, never copied per prompt.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers.generation.logits_process import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from vlm3r.inference.prefix_cache import PrefixCache
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.model.modeling import OnlyKnownTokens

MASKED_KERNELS = ("sdpa", "eager")
"""Attention kernels that take any mask; with others prompts are answered one by one."""
SHARED = 0
"""Owner of the shared tokens; prompts are 1, 2, ..."""


def stop_ids(stops: int | list[int] | None) -> set[int]:
    """The ids after which `generate` ends an answer, from its `eos_token_id`."""
    if stops is None:
        return set()
    return set(stops) if isinstance(stops, list) else {stops}


def greedy_processors(model: VLM3RForConditionalGeneration) -> LogitsProcessorList:
    """What `generate` does to logits: ids of no token ruled out, and the penalty on what was generated so far.

    The processors are given generated ids only, not those of the prompt.
    """
    processors = LogitsProcessorList([OnlyKnownTokens(model.config.num_output_tokens)])
    penalty = model.generation_config.repetition_penalty
    if penalty is not None and penalty != 1.0:
        processors.append(RepetitionPenaltyLogitsProcessor(float(penalty)))
    return processors


def takes_any_mask(model: VLM3RForConditionalGeneration) -> bool:
    """Whether prompts can be answered side by side: the attention kernel takes any mask, and no layer has a window."""
    config = model.language_model.config
    return config._attn_implementation in MASKED_KERNELS and set(config.layer_types or ()) <= {"full_attention"}


def extend(model: VLM3RForConditionalGeneration, cache: PrefixCache, embeddings: Tensor) -> Tensor:
    """Append a stretch of one sequence to the cache.

    Args:
        model: the model.
        cache: keys and values of what comes before.
        embeddings: `(1, token, dim)`.

    Returns:
        Hidden states `(1, token, dim)` after the last norm.
    """
    places = torch.arange(cache.length, cache.length + embeddings.shape[1], device=embeddings.device)
    return _hidden(model, cache, embeddings, places, None)


def greedy(
    model: VLM3RForConditionalGeneration,
    cache: PrefixCache,
    prompts: Sequence[Sequence[int]],
    embeddings: Tensor,
    max_new_tokens: int,
    processors: LogitsProcessorList | None = None,
) -> list[list[int]]:
    """Ids generated for each prompt, its stop token included; arguments and errors as `greedy_steps`.

    The cache is set back to the shared beginning at the end.
    """
    begin = cache.length
    answers: list[list[int]] = [[] for _ in prompts]
    for step in greedy_steps(model, cache, prompts, embeddings, max_new_tokens, processors):
        for prompt, token in step:
            answers[prompt].append(token)
    cache.set_back(begin)
    return answers


def greedy_steps(
    model: VLM3RForConditionalGeneration,
    cache: PrefixCache,
    prompts: Sequence[Sequence[int]],
    embeddings: Tensor,
    max_new_tokens: int,
    processors: LogitsProcessorList | None = None,
) -> Iterator[list[tuple[int, int]]]:
    """One id after another for each prompt; prompts that are answered leave the batch.

    Args:
        model: the model.
        cache: keys and values of the shared beginning; tokens of the prompts and answers are left behind it.
        prompts: what each prompt has beyond the beginning, at least one id each.
        embeddings: `(1, token, dim)` of the prompts' ids, one prompt after the other.
        max_new_tokens: the longest answer.
        processors: default `greedy_processors`; called with generated ids `(prompt, token)` and logits.

    Yields:
        The new ids, each with the number of its prompt; an answer's stop token is its last.

    Raises:
        ValueError: an empty prompt; several prompts for a model that answers one at a time.
        RuntimeError: between two steps, the cache was used for something else.
    """
    if any(not prompt for prompt in prompts):
        raise ValueError("every prompt needs a token of its own after the shared beginning")
    if len(prompts) > 1 and not takes_any_mask(model):
        raise ValueError(
            "with its attention kernel or window, this model answers one prompt at a time; "
            f"{' and '.join(MASKED_KERNELS)} without windows answer several"
        )
    processors = greedy_processors(model) if processors is None else processors
    begin, device, times_set_back = cache.length, embeddings.device, cache.times_set_back
    stops = stop_ids(model.generation_config.eos_token_id)  # pyright: ignore[reportOptionalMemberAccess]
    lengths = [len(prompt) for prompt in prompts]
    numbers = torch.arange(1, len(prompts) + 1, device=device)
    owners = numbers.repeat_interleave(torch.tensor(lengths, device=device))  # (token,)
    positions = torch.tensor([begin + place for length in lengths for place in range(length)], device=device)
    key_owners = torch.cat([torch.full((begin,), SHARED, device=device), owners])  # (key,)
    hidden = _hidden(model, cache, embeddings, positions, _mask(model, owners, key_owners, len(prompts), embeddings))
    ends = torch.tensor(list(itertools.accumulate(lengths)), device=device) - 1
    hidden, positions = hidden[:, ends], positions[ends]
    alive = list(range(len(prompts)))
    given = torch.empty(len(prompts), 0, dtype=torch.long, device=device)  # (prompt, generated)
    while True:
        logits = model.language_model.lm_head(hidden)[0].float()  # (prompt, vocabulary)
        chosen = processors(given, logits).argmax(dim=-1)  # pyright: ignore[reportArgumentType]
        given = torch.cat([given, chosen[:, None]], dim=1)
        ids = chosen.tolist()
        yield list(zip(alive, ids, strict=True))
        kept = [place for place, token in enumerate(ids) if token not in stops and given.shape[1] < max_new_tokens]
        if not kept:
            return
        if cache.times_set_back != times_set_back:
            raise RuntimeError("something else was asked before this answer was finished: finish one after the other")
        alive = [alive[place] for place in kept]
        places = torch.tensor(kept, device=device)
        given, positions = given[places], positions[places] + 1
        owners = torch.tensor(alive, device=device) + 1
        key_owners = torch.cat([key_owners, owners])
        tokens = model.get_input_embeddings()(chosen[places])[None]  # (1, prompt, dim)
        hidden = _hidden(model, cache, tokens, positions, _mask(model, owners, key_owners, len(prompts), tokens))


def _hidden(
    model: VLM3RForConditionalGeneration,
    cache: PrefixCache,
    embeddings: Tensor,
    positions: Tensor,
    mask: Tensor | None,
) -> Tensor:
    output = model.language_model.model(
        inputs_embeds=embeddings,
        attention_mask=mask,
        position_ids=positions[None],
        past_key_values=cache,
        use_cache=True,
    )
    return output.last_hidden_state


def _mask(
    model: VLM3RForConditionalGeneration, owners: Tensor, key_owners: Tensor, prompts: int, like: Tensor
) -> Tensor | None:
    """Which keys each of the last `len(owners)` tokens sees, `(1, 1, query, key)`; None is plain causal attention."""
    if prompts == 1:
        return None
    places = torch.arange(len(key_owners), device=owners.device)
    seen = (key_owners == SHARED) | (key_owners == owners[:, None])
    seen &= places <= places[-len(owners) :, None]
    if model.language_model.config._attn_implementation == "eager":
        return torch.zeros_like(seen, dtype=like.dtype).masked_fill(~seen, torch.finfo(like.dtype).min)[None, None]
    return seen[None, None]
