"""What category priors give away is found from other scenes, and left out until nothing is given away."""

import numpy as np
import pytest

from vlm3r.qa.blind import BlindModel, closeness, contexts
from vlm3r.qa.debias import DebiasSettings, debias
from vlm3r.qa.spool import Spool

NAMES = ["lamp", "table", "sofa", "chair", "bed"]


def position(rng, known=True):
    """Is the first above or below the second? Where `known`, the alphabet says so nine times in ten."""
    first, second = (str(name) for name in rng.choice(NAMES, 2, replace=False))
    fixed = known and rng.random() < 0.9
    up = first < second if fixed else rng.random() < 0.5
    return item("obj_obj_relative_pos_ud", "Up" if up else "Down", ["Up", "Down"], first=first, second=second)


def size(rng, known=True):
    name = str(rng.choice(NAMES))
    typical = 20 * 1.4 ** NAMES.index(name) if known else 80
    return item(
        "object_size_estimation",
        round(typical * float(rng.uniform(0.8, 1.25) if known else rng.uniform(0.3, 3))),
        (),
        category=name,
    )


def item(kind, answer, options, **slots):
    return {"question_type": kind, "answer": answer, "options": list(options), "slots": slots}


def spool(path, make, number=300, **settings):
    rng = np.random.default_rng(0)
    store = Spool(path)
    store.write({"scene": f"s{i}", "questions": [make(rng, **settings) for _ in range(8)]} for i in range(number))
    return store


def questions(store):
    return [q for record in store for q in record["questions"]]


def test_a_prior_of_positions_is_pruned_away(tmp_path):
    store, kept = spool(tmp_path / "a", position), Spool(tmp_path / "b")
    debias(store, kept, DebiasSettings(rounds=20, keep=0.1), 0)
    agree = [(q["slots"]["first"] < q["slots"]["second"]) == (q["answer"] == "Up") for q in questions(kept)]
    assert (
        np.mean([(q["slots"]["first"] < q["slots"]["second"]) == (q["answer"] == "Up") for q in questions(store)]) > 0.9
    )
    assert np.mean(agree) < 0.6
    assert 200 < len(agree) < 1000


def test_without_a_prior_nearly_everything_stays(tmp_path):
    store, kept = spool(tmp_path / "a", position, known=False), Spool(tmp_path / "b")
    scores = debias(store, kept, DebiasSettings(), 0)
    assert len(questions(kept)) > 0.9 * len(questions(store))
    score, chance = scores["obj_obj_relative_pos_ud"]
    assert chance == pytest.approx(0.5)
    assert abs(score - chance) < 0.06


def test_at_least_the_share_to_keep_stays(tmp_path):
    store, kept = spool(tmp_path / "a", size), Spool(tmp_path / "b")
    debias(store, kept, DebiasSettings(rounds=20, keep=0.4), 0)
    assert len(questions(kept)) >= 0.4 * len(questions(store))
    assert len(questions(kept)) < 0.8 * len(questions(store))


def test_debiasing_is_deterministic(tmp_path):
    store = spool(tmp_path / "a", position)
    for name in ("b", "c"):
        debias(store, Spool(tmp_path / name), DebiasSettings(), 7)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_a_question_is_answered_from_other_folds_only():
    model = BlindModel(2)
    told = item("obj_obj_relative_pos_ud", "Up", ["Up", "Down"], first="lamp", second="bed")
    for _ in range(50):
        model.learn(told, 0)
    assert model.score(told, 0) == (0.5, 0.25)  # its own fold knows nothing: a coin
    assert model.score(told, 1)[0] == 1


def test_numbers_go_by_the_categories_whatever_their_order():
    model = BlindModel(2)
    for _ in range(5):
        model.learn(item("object_abs_distance", 2.0, (), first="lamp", second="bed"), 0)
        model.learn(item("object_abs_distance", 8.0, (), first="lamp", second="door"), 0)
    assert model.score(item("object_abs_distance", 2.0, (), first="bed", second="lamp"), 1)[0] == 1
    assert model.constant(1) == pytest.approx(4.0)
    assert contexts(item("camera_displacement", 1.0, (), start="1", end="2", total="9")) == [()]
    assert closeness(0.0, 0.0) == 1
