"""Averages over resampled scenes, against scipy and against the published averages."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vlm3r.evaluation.run.bootstrap import belongs, difference_intervals, intervals, tabulate
from vlm3r.evaluation.run.report import averages_of
from vlm3r.qa.types import QUESTION_TYPES

MICRO = ("", "overall", "micro")


def invented(scenes: int, per_scene: int, types=QUESTION_TYPES, seed: int = 0):
    """Records whose scores differ by scene."""
    rng = np.random.default_rng(seed)
    return [
        {
            "scene": f"s{scene}",
            "question_type": types[int(rng.integers(len(types)))].name,
            "published": float(np.clip(rng.normal(0.3 + 0.4 * (scene % 2), 0.2), 0, 1)),
        }
        for scene in range(scenes)
        for _ in range(per_scene)
    ]


def test_averages_of_the_sample_itself_are_those_of_the_published_aggregation():
    records = invented(9, 40)
    table = tabulate(records, "published")
    found = table.averages(np.ones((1, len(table.scenes))))
    expected = averages_of([{"question_type": r["question_type"], "score": r["published"]} for r in records])
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value)


def test_averages_of_a_resample_are_those_of_its_records_written_out():
    records = invented(4, 3)
    table = tabulate(records, "published")
    weights = np.array([[0, 3, 1, 0]])
    drawn = [r for r in records for _ in range(int(weights[0, table.scenes.index(r["scene"])]))]
    expected = averages_of([{"question_type": r["question_type"], "score": r["published"]} for r in drawn])
    found = {name: value[0] for name, value in table.averages(weights).items() if not np.isnan(value[0])}
    assert found == pytest.approx(expected)


def test_intervals_are_those_of_scipy_where_scenes_have_equally_many_questions():
    records = invented(30, 8, QUESTION_TYPES[:1])
    table = tabulate(records, "published")
    means = table.sums[:, 0] / table.counts[:, 0]
    reference = stats.bootstrap((means,), np.mean, n_resamples=10_000, method="percentile", rng=0).confidence_interval
    found = intervals(table)
    for name in (("vsibench", "task", "object_counting"), ("vsibench", "overall", "overall"), MICRO):
        assert found[name] == pytest.approx((reference.low, reference.high), abs=0.006)
    # Drawing questions instead would give a much narrower one.
    assert found[MICRO] is not None
    low, high = found[MICRO]
    single = stats.sem([r["published"] for r in records])
    assert high - low > 1.5 * 2 * 1.96 * single


def test_the_interval_of_a_difference_pairs_the_runs():
    first = invented(30, 8, QUESTION_TYPES[:1])
    second = [record | {"published": record["published"] + 0.01} for record in first]
    table = tabulate(first, "published")
    found = difference_intervals(table, tabulate(second, "published", like=table))
    assert found[MICRO] == pytest.approx((0.01, 0.01))


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    table = tabulate(invented(8, 5), "published")
    assert intervals(table, 3, 500) == intervals(table, 3, 500)
    assert intervals(table, 3, 500)[MICRO] != intervals(table, 4, 500)[MICRO]


def test_one_scene_has_no_interval():
    assert set(intervals(tabulate(invented(1, 9), "published")).values()) == {None}


def test_a_type_that_only_one_scene_has_gets_no_interval():
    common, rare = QUESTION_TYPES[:2]
    records = invented(9, 4, [common])
    records += [{"scene": "s0", "question_type": rare.name, "published": score} for score in (0.0, 1.0)]
    found = intervals(tabulate(records, "published"), resamples=200)
    assert found["vsibench", "task", rare.task] is None
    assert found["vsibench", "task", common.task] is not None
    assert found[MICRO] is not None


def test_repeated_scans_of_one_room_are_drawn_together():
    def scanned(names):
        pairs = zip(invented(len(names), 1, QUESTION_TYPES[:1]), names, strict=True)
        return tabulate([record | {"scene": name} for record, name in pairs], "published")

    apart = scanned([f"scene{room:04}_00" for room in range(6)])
    together = scanned([f"scene{room:04}_0{scan}" for room in range(3) for scan in range(2)])
    assert (len(apart.scenes), len(together.scenes)) == (6, 3)
    assert set(intervals(scanned(["scene0000_00", "scene0000_01"])).values()) == {None}


def test_a_question_belongs_to_the_averages_that_it_moves():
    for kind in QUESTION_TYPES:
        base = invented(2, 300)
        record = {"scene": "s0", "question_type": kind.name, "published": 1.0}
        before = tabulate(base, "published").averages(np.ones((1, 2)))
        after = tabulate([*base, *[record] * 50], "published").averages(np.ones((1, 2)))
        assert {name for name in before if before[name][0] != after[name][0]} == {
            name for name in before if belongs(record, name)
        }
