"""Even sampling: every valid set has exactly one number."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3r.qa.sampling import Chains, in_random_order, pick


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.integers(0, 12), max_size=9),
    gap=st.integers(0, 4),
    length=st.integers(1, 4),
    least=st.integers(0, 6),
)
def test_chains_number_all_sets_whose_values_are_apart(values, gap, length, least):
    v = np.array(values, int)
    chains = Chains(v[None] - v[:, None] > gap, length, v >= least)
    brute = {
        frozenset(chosen)
        for chosen in combinations(range(len(v)), length)
        if all(abs(v[a] - v[b]) > gap for a, b in combinations(chosen, 2)) and min(v[list(chosen)]) >= least
    }
    listed = chains[np.arange(chains.total)]
    assert listed.shape == (len(brute), length)
    assert {frozenset(row) for row in listed.tolist()} == brute
    assert (np.diff(v[listed], axis=1) > gap).all()


def test_chains_count_sets_that_nobody_could_list():
    n = 120
    before = np.arange(n)[:, None] < np.arange(n)
    chains = Chains(before, 6)
    assert chains.total == 3_652_745_460  # 120 choose 6
    last = chains[np.array([0, chains.total - 1])]
    assert last.tolist() == [[0, 1, 2, 3, 4, 5], [114, 115, 116, 117, 118, 119]]


def test_sampled_chains_are_evenly_spread():
    v = np.arange(12)
    chains = Chains(v[None] - v[:, None] > 1, 3)
    rng = np.random.default_rng(5)
    drawn = np.concatenate([pick(rng, chains.total, 6) for _ in range(4000)])
    share = np.bincount(drawn, minlength=chains.total) / len(drawn)
    assert abs(share * chains.total - 1).max() < 0.25  # about six standard deviations of one share


def test_pick_gives_different_numbers_and_no_more_than_there_are():
    rng = np.random.default_rng(0)
    assert sorted(pick(rng, 5, 100).tolist()) == [0, 1, 2, 3, 4]
    some = pick(rng, 10**12, 1000)
    assert len(np.unique(some)) == 1000 and some.max() < 10**12
    assert pick(rng, 0, 3).size == 0 and pick(rng, 3, 0).size == 0


def test_random_order_keeps_pairs_together():
    a, b = np.arange(1000), np.arange(1000) + 5000
    x, y = in_random_order(np.random.default_rng(1), a, b)
    assert (np.minimum(x, y) == a).all() and (np.maximum(x, y) == b).all()
    assert 400 < (x == a).sum() < 600
