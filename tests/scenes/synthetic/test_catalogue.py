"""The catalogue: every category builds plausible, closed-looking, reproducible solids, and its references resolve."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from vlm3r.scenes.synthetic.catalogue import KINDS
from vlm3r.scenes.synthetic.catalogue.kind import ROOMS
from vlm3r.scenes.synthetic.mesh import grid_triangles
from vlm3r.scenes.synthetic.shapes import Solid, bounds
from vlm3r.scenes.synthetic.textures import MAKERS

SEEDS = range(20)

# Metres in which shops sell such things: width (along x), depth (along y) and height, each from least to most.
SIZES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "sofa": ((1.3, 2.8), (0.75, 1.1), (0.65, 1.0)),
    "armchair": ((0.6, 1.0), (0.65, 1.0), (0.7, 1.1)),
    "chair": ((0.36, 0.55), (0.4, 0.62), (0.75, 1.1)),
    "stool": ((0.28, 0.5), (0.28, 0.5), (0.4, 0.8)),
    "office chair": ((0.5, 0.75), (0.5, 0.75), (0.8, 1.35)),
    "coffee table": ((0.6, 1.4), (0.45, 1.1), (0.3, 0.55)),
    "dining table": ((0.9, 2.4), (0.7, 1.4), (0.7, 0.8)),
    "side table": ((0.3, 0.65), (0.3, 0.65), (0.4, 0.7)),
    "desk": ((1.0, 1.9), (0.5, 0.9), (0.7, 0.8)),
    "nightstand": ((0.35, 0.65), (0.3, 0.55), (0.4, 0.7)),
    "dresser": ((0.4, 1.6), (0.35, 0.6), (0.6, 1.4)),
    "tv cabinet": ((1.0, 2.2), (0.3, 0.55), (0.3, 0.7)),
    "wardrobe": ((0.7, 2.4), (0.5, 0.75), (1.7, 2.4)),
    "bookshelf": ((0.5, 1.3), (0.2, 0.4), (0.9, 2.3)),
    "bed": ((0.85, 2.1), (1.95, 2.4), (0.7, 1.3)),
    "pillow": ((0.35, 0.75), (0.1, 0.45), (0.2, 0.5)),
    "floor lamp": ((0.25, 1.1), (0.25, 0.6), (1.3, 1.9)),
    "table lamp": ((0.15, 0.45), (0.12, 0.4), (0.3, 0.7)),
    "ceiling light": ((0.15, 1.3), (0.05, 0.7), (0.04, 0.9)),
    "kitchen counter": ((0.35, 2.6), (0.55, 0.7), (0.85, 0.95)),
    "kitchen cabinet": ((0.3, 2.2), (0.28, 0.45), (0.5, 0.9)),
    "refrigerator": ((0.5, 1.0), (0.5, 0.85), (1.4, 2.05)),
    "stove": ((0.5, 0.7), (0.55, 0.7), (0.85, 1.05)),
    "dishwasher": ((0.44, 0.62), (0.5, 0.7), (0.8, 0.9)),
    "microwave": ((0.4, 0.6), (0.3, 0.5), (0.22, 0.35)),
    "sink": ((0.4, 0.9), (0.35, 0.55), (0.2, 0.5)),
    "kettle": ((0.18, 0.36), (0.12, 0.25), (0.15, 0.3)),
    "pot": ((0.2, 0.5), (0.15, 0.35), (0.08, 0.25)),
    "toaster": ((0.22, 0.4), (0.14, 0.25), (0.15, 0.25)),
    "toilet": ((0.33, 0.5), (0.55, 0.8), (0.65, 1.0)),
    "bathtub": ((1.4, 1.9), (0.65, 0.95), (0.5, 0.85)),
    "washbasin": ((0.4, 0.9), (0.35, 0.6), (0.85, 1.15)),
    "washing machine": ((0.55, 0.65), (0.45, 0.75), (0.8, 0.9)),
    "towel": ((0.3, 0.75), (0.03, 0.15), (0.35, 0.9)),
    "tv": ((0.65, 1.6), (0.05, 0.35), (0.4, 1.0)),
    "monitor": ((0.38, 0.9), (0.12, 0.3), (0.3, 0.6)),
    "laptop": ((0.28, 0.42), (0.2, 0.4), (0.15, 0.3)),
    "keyboard": ((0.25, 0.5), (0.1, 0.2), (0.01, 0.05)),
    "computer mouse": ((0.05, 0.08), (0.08, 0.14), (0.02, 0.06)),
    "computer tower": ((0.15, 0.26), (0.35, 0.55), (0.35, 0.55)),
    "printer": ((0.35, 0.55), (0.3, 0.55), (0.12, 0.5)),
    "telephone": ((0.14, 0.25), (0.15, 0.25), (0.05, 0.15)),
    "speaker": ((0.15, 0.35), (0.18, 0.4), (0.7, 1.2)),
    "whiteboard": ((0.8, 2.0), (0.01, 0.12), (0.5, 1.2)),
    "plant": ((0.2, 1.5), (0.2, 1.5), (0.5, 1.9)),
    "vase": ((0.08, 0.35), (0.08, 0.35), (0.14, 0.6)),
    "picture": ((0.2, 1.1), (0.01, 0.05), (0.2, 1.1)),
    "mirror": ((0.35, 1.0), (0.01, 0.05), (0.45, 1.4)),
    "clock": ((0.2, 0.45), (0.02, 0.08), (0.2, 0.45)),
    "rug": ((1.1, 3.0), (0.8, 2.4), (0.005, 0.03)),
    "curtain": ((0.35, 1.1), (0.05, 0.2), (1.8, 2.5)),
    "trash bin": ((0.18, 0.4), (0.18, 0.45), (0.25, 0.7)),
    "basket": ((0.3, 0.6), (0.22, 0.6), (0.2, 0.65)),
    "backpack": ((0.25, 0.45), (0.15, 0.4), (0.35, 0.6)),
    "suitcase": ((0.3, 0.6), (0.18, 0.4), (0.5, 1.25)),
    "book stack": ((0.15, 0.36), (0.2, 0.4), (0.04, 0.3)),
    "bottle": ((0.05, 0.14), (0.05, 0.14), (0.15, 0.36)),
    "cup": ((0.06, 0.2), (0.06, 0.2), (0.05, 0.14)),
    "bowl": ((0.18, 0.36), (0.18, 0.36), (0.05, 0.22)),
    "piano": ((1.35, 1.65), (0.5, 0.7), (1.0, 1.35)),
    "guitar": ((0.3, 0.5), (0.2, 0.5), (0.95, 1.25)),
    "bicycle": ((1.5, 1.9), (0.45, 0.7), (0.9, 1.2)),
    "fan": ((0.33, 0.55), (0.25, 0.5), (0.8, 1.5)),
    "radiator": ((0.5, 1.7), (0.06, 0.2), (0.45, 0.85)),
    "door": ((0.75, 1.1), (0.05, 0.2), (1.95, 2.2)),
    "window": ((0.6, 3.6), (0.05, 0.2), (0.9, 1.7)),
}


def built(name: str, seed: int) -> Solid:
    return KINDS[name].build(np.random.default_rng([seed, 1]))


def as_trimesh(solid: Solid) -> trimesh.Trimesh:
    """The solid's triangles, wound as the renderer winds them."""
    points, faces, start = [], [], 0
    for patch in solid:
        points.append(patch.points.reshape(-1, 3))
        faces.append(start + grid_triangles(*patch.points.shape[:2]))
        start += len(points[-1])
    return trimesh.Trimesh(np.concatenate(points), np.concatenate(faces), process=False)


def digest(solid: Solid) -> bytes:
    arrays = b"".join(p.points.tobytes() + p.normals.tobytes() + p.uv.tobytes() for p in solid)
    return arrays + repr([p.material for p in solid]).encode()


def test_the_catalogue_holds_at_least_forty_categories_each_with_a_known_size() -> None:
    assert len(KINDS) >= 40
    assert set(KINDS) == set(SIZES)
    assert all(kind.category == name for name, kind in KINDS.items())


def test_references_rooms_counts_and_heights_make_sense() -> None:
    for name, kind in KINDS.items():
        assert kind.rooms and kind.rooms <= ROOMS, name
        assert 0 < kind.count[0] <= kind.count[1], name
        assert kind.weight > 0 and kind.clear_front >= 0, name
        assert set(kind.on) <= set(KINDS) - {name}, name
        if kind.place in ("surface", "around"):
            assert kind.on, name
            assert any(KINDS[other].rooms & kind.rooms for other in kind.on), name
        if kind.place == "surface":
            assert all(KINDS[other].supports for other in kind.on), name
            assert not kind.blocks_walking, name
        if kind.place == "hung":
            assert 0 < kind.hung[0] <= kind.hung[1] < 2.2, name


@pytest.mark.parametrize("name", SIZES)
def test_instances_stand_centred_on_the_floor_and_have_plausible_sizes(name: str) -> None:
    for seed in SEEDS:
        low, high = bounds(built(name, seed))
        np.testing.assert_allclose([low[2], *(low + high)[:2]], 0, atol=1e-9)
        for size, (least, most) in zip(high - low, SIZES[name], strict=True):
            assert least <= size <= most, (seed, high - low)


@pytest.mark.parametrize("name", SIZES)
def test_patches_are_finite_with_unit_normals_on_the_side_of_their_winding(name: str) -> None:
    for seed in range(6):
        for patch in built(name, seed):
            assert patch.material.texture in MAKERS
            assert min(patch.points.shape[:2]) >= 2
            assert all(np.isfinite(a).all() for a in (patch.points, patch.normals, patch.uv))
            p, n = patch.points, patch.normals
            np.testing.assert_allclose(np.linalg.norm(n, axis=-1)[1:-1, 1:-1], 1, atol=1e-6)
            wound = np.cross(p[1:, 1:] - p[:-1, :-1], p[:-1, 1:] - p[1:, :-1])
            agrees = (wound * (n[1:, 1:] + n[:-1, :-1])).sum(-1)
            assert (agrees >= -1e-9).mean() > 0.97, (seed, patch.material)


@pytest.mark.parametrize("name", SIZES)
def test_no_inner_side_of_a_surface_shows_from_where_people_look(name: str) -> None:
    kind = KINDS[name]
    shown, wrong = 0, 0
    for seed in range(4):
        mesh = as_trimesh(built(name, seed))
        rng = np.random.default_rng([seed, 2])
        low, high = mesh.bounds
        turn = rng.uniform(-1, 1, 800) * (np.pi if kind.place in ("free", "around", "surface", "ceiling") else 1.2)
        rise = rng.uniform(-0.7, 0.1, 800) if kind.place == "ceiling" else rng.uniform(0.05, 0.9, 800)
        towards = np.stack([np.cos(rise) * np.sin(turn), np.cos(rise) * np.cos(turn), -np.sin(rise)], -1)
        targets = rng.uniform(low, high, (800, 3))
        hit, ray, _ = mesh.ray.intersects_location(targets - 5 * towards, towards, multiple_hits=False)[0:3]
        face = mesh.ray.intersects_first(targets - 5 * towards, towards)[ray]
        shown += len(hit)
        wrong += int(((mesh.face_normals[face] * towards[ray]).sum(-1) > 1e-3).sum())
    assert shown > 200
    assert wrong <= 0.004 * shown, f"{wrong} of {shown} views show the inner side of a surface"


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.supports])
def test_what_is_put_on_a_top_rests_on_it(name: str) -> None:
    for seed in range(10):
        solid = built(name, seed)
        top = KINDS[name].top(solid)
        mesh = as_trimesh(solid)
        spots = np.stack(
            np.meshgrid(*(np.linspace(a, b, 12)[1:-1] for a, b in zip(top.low, top.high, strict=True))), -1
        )
        origins = np.column_stack([spots.reshape(-1, 2), np.full(spots[..., 0].size, top.height + 0.15)])
        down = np.broadcast_to([0.0, 0.0, -1.0], origins.shape)
        hit, _, _ = mesh.ray.intersects_location(origins, down, multiple_hits=False)
        assert (np.abs(hit[:, 2] - top.height) < 0.04).sum() >= 0.9 * len(origins), seed
        assert min(b - a for a, b in zip(top.low, top.high, strict=True)) > 0.2, seed


@pytest.mark.parametrize("name", SIZES)
def test_one_seed_gives_the_same_bytes_and_many_seeds_differ(name: str) -> None:
    first = [digest(built(name, seed)) for seed in range(4)]
    assert first == [digest(built(name, seed)) for seed in range(4)]
    assert len(set(first)) == 4


def test_lamps_glow_and_nothing_else_is_marked_as_a_light() -> None:
    for name, kind in KINDS.items():
        brightest = max(p.material.emission for seed in range(3) for p in built(name, seed))
        assert (brightest >= 1) == kind.lights, name
