"""How an epoch deals questions into packs."""

from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.material import recipe, row, rows_about, write_rows
from vlm3r.training.data import Mixture, read_mixture
from vlm3r.training.data.mixture import Clip, TokenBudget
from vlm3r.training.recipe import DataRecipe, SourceRecipe


def mixture_of(clips: list[int], per_pack: int, seed: int = 0, weights=(Fraction(1),), sources=None) -> Mixture:
    """Questions about these clips, without files."""
    count = len(clips)
    seen = tuple(Clip(f"v{i}", Path(f"v{i}"), (), "a.json") for i in range(max(clips, default=-1) + 1))
    return Mixture(
        files=(),
        clips=seen,
        weights=weights,
        source=np.array(sources or [0] * count, np.int16),
        file=np.zeros(count, np.int16),
        place=np.arange(count, dtype=np.int32),
        clip=np.array(clips, np.int32),
        text_bytes=np.full(count, 100, np.int32),
        bad_rows=(),
        tasks={},
        questions_per_pack=per_pack,
        seed=seed,
    )


CLIPS = st.lists(st.integers(0, 6), min_size=1, max_size=40)


@given(CLIPS, st.integers(0, 9), st.integers(0, 3), st.integers(-5, 5))
@settings(deadline=None)
def test_an_epoch_holds_every_question_once_in_packs_about_one_clip(clips, per_pack, epoch, seed):
    plan = mixture_of(clips, per_pack, seed).packs(epoch)
    questions = [q for pack in plan for q in pack.questions]
    assert sorted(questions) == list(range(len(clips))) and plan.questions == len(clips)
    assert all({clips[q] for q in pack.questions} == {pack.clip} for pack in plan)
    sizes: dict[int, list[int]] = {}
    for pack in plan:
        sizes.setdefault(pack.clip, []).append(len(pack.questions))
    for clip, here in sizes.items():
        count = clips.count(clip)
        assert len(here) == (1 if per_pack == 0 else -(-count // per_pack))
        assert max(here) - min(here) <= 1


@given(CLIPS, st.integers(0, 4), st.integers(0, 5), st.integers(0, 3))
@settings(deadline=None)
def test_packs_are_a_function_of_seed_and_epoch_alone(clips, per_pack, epoch, seed):
    used = mixture_of(clips, per_pack, seed)
    for other in (4, 0, 2):
        used.packs(other)
    fresh = pickle.loads(pickle.dumps(mixture_of(clips, per_pack, seed)))
    assert list(used.packs(epoch)) == list(fresh.packs(epoch))


def test_order_and_company_change_from_epoch_to_epoch_and_with_the_seed():
    clips = [i % 5 for i in range(60)]
    plans = [list(mixture_of(clips, 4, seed).packs(epoch)) for seed in (0, 1) for epoch in (0, 1)]
    company = [{frozenset(pack.questions) for pack in plan} for plan in plans]
    for a in range(4):
        for b in range(a):
            assert [p.clip for p in plans[a]] != [p.clip for p in plans[b]]
            assert len(company[a] & company[b]) < 5


@given(CLIPS, st.sampled_from(["0.1", "0.25", "1/3", "1", "1.5", "2", "3"]), st.integers(0, 5), st.integers(0, 2))
@settings(deadline=None)
def test_over_epochs_every_clip_comes_as_often_as_its_weight_says(clips, weight, per_pack, seed):
    share = Fraction(weight)
    mixture = mixture_of(clips, per_pack, seed, weights=(share,))
    total: Counter[int] = Counter()
    epochs = 12
    for epoch in range(epochs):
        plan = mixture.packs(epoch)
        came = Counter(q for pack in plan for q in pack.questions)
        assert all(len(set(pack.questions)) == len(pack.questions) for pack in plan)
        for clip in set(clips):
            # A clip comes whole: all its questions equally often.
            assert len({came[q] for q, c in enumerate(clips) if c == clip}) == 1
            assert came[clips.index(clip)] in (share // 1, -(-share // 1))
            total[clip] += came[clips.index(clip)]
    assert all(abs(count - epochs * share) <= 1 for count in total.values())
    assert abs(sum(total.values()) - epochs * share * len(set(clips))) < 1


def test_weights_belong_to_sources_and_a_clip_of_two_sources_shares_packs():
    mixture = mixture_of([0, 0, 0, 1], 0, weights=(Fraction(1), Fraction(2)), sources=[0, 0, 1, 1])
    packs = sorted((pack.clip, tuple(sorted(pack.questions))) for pack in mixture.packs(0))
    assert packs == [(0, (0, 1, 2)), (0, (2,)), (1, (3,)), (1, (3,))]


@given(CLIPS, st.integers(0, 9), st.integers(20, 400))
@settings(deadline=None)
def test_planned_packs_stay_below_the_budget(clips, per_pack, limit):
    budget = TokenBudget(limit, np.full(7, 15), 0.25)  # 25 tokens a question
    plan = mixture_of(clips, per_pack).packs(0, budget)
    assert sorted(q for pack in plan for q in pack.questions) == list(range(len(clips)))
    for pack in plan:
        assert len(pack.questions) == 1 or 15 + 25 * len(pack.questions) <= limit + 25


def test_rows_about_nothing_are_packs_of_their_own(tmp_path):
    rows = [row("q0"), row("q1"), *rows_about("v.mp4", 2), row("q", image=["a.png", "b.png"]), row("q", image="a.png")]
    mixture = read_mixture(recipe(write_rows(tmp_path / "a.json", rows), questions_per_pack=0), 0)
    assert sorted(tuple(sorted(pack.questions)) for pack in mixture.packs(0)) == [(0,), (1,), (2, 3), (4,), (5,)]
    names = [str(tmp_path / "v.mp4"), f"{tmp_path / 'a.png'}, {tmp_path / 'b.png'}", str(tmp_path / "a.png")]
    assert [clip.name for clip in mixture.clips] == names
    assert mixture.clip_sources() == dict.fromkeys(names, str(tmp_path / "a.json"))


def test_only_clips_of_kept_rows_count(tmp_path):
    rows = [row("q", video=f"v{i}.mp4") for i in range(10)]
    path = write_rows(tmp_path / "a.json", rows)
    mixture = read_mixture(DataRecipe(sources=(SourceRecipe(path=path, rows=2, sampling="end"),)), 0)
    assert [clip.video for clip in mixture.clips] == [tmp_path / "v8.mp4", tmp_path / "v9.mp4"]


def test_the_record_names_every_file_with_its_hash_and_counts(tmp_path):
    first = write_rows(tmp_path / "a.json", [*rows_about("v.mp4", 3, task="count"), {"video": "x"}])
    second = write_rows(tmp_path / "b.jsonl", rows_about("w.mp4", 2, task="size") + rows_about("v.mp4", 1))
    record = read_mixture(recipe(first, second, questions_per_pack=4), 7).record()
    assert [file["sha256"] for file in record["files"]] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, second)
    ]
    assert [(file["questions"], file["bad_rows"]) for file in record["files"]] == [(3, 1), (3, 0)]
    assert record["tasks"] == {"b": 1, "count": 3, "size": 2}
    assert (record["questions"], record["clips"], record["bad_rows"]) == (6, 2, 1)
    assert (record["questions_per_pack"], record["seed"]) == (4, 7)


@pytest.mark.parametrize("index", [slice(1, 3), slice(None, None, -1), -1])
def test_a_plan_is_an_ordinary_sequence(index):
    plan = mixture_of([0, 0, 1, 2, 2, 3], 1).packs(0)
    assert plan[index] == list(plan)[index]
