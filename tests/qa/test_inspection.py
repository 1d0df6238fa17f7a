"""Pages, sheets, tables and plots of a file of questions."""

import dataclasses
import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.qa.conftest import rows_of
from vlm3r.errors import UserError
from vlm3r.qa.engine import GenerateOptions, generate
from vlm3r.qa.floor_map import floor_map, footprint
from vlm3r.qa.inspection import choose_rows, inspect_questions
from vlm3r.qa.pictures import PALETTE, frames_to_show, picture
from vlm3r.qa.proposals import question_types
from vlm3r.qa.sources import find_sources
from vlm3r.qa.stats import plot_statistics, statistics, table
from vlm3r.scenes.storage import read_scene, write_scene


@pytest.fixture(scope="module", params=["benchmark", "training"])
def file(request, rooms, tmp_path_factory):
    out = tmp_path_factory.mktemp("questions") / "q.jsonl"
    options = GenerateOptions(per_scene=2, format=request.param)
    generate(find_sources([rooms]), out, options, about={"scenes_from": [str(rooms)], "frames_files": []})
    return out


def test_a_page_needs_nothing_from_outside(file, tmp_path):
    assert inspect_questions(file, tmp_path / "p.html", number=6) == 6
    page = (tmp_path / "p.html").read_text()
    assert page.count("<article>") == 6
    assert all(source.startswith("data:image/jpeg;base64,") for source in re.findall(r'src="([^"]*)"', page))
    rest = re.sub(r'src="[^"]*"', "", page)
    assert not re.search(r"https?:|//[a-z]|src=|<script|<link|@import|url\(", rest)
    assert page.count('class="right"') == 6


def test_a_page_shows_question_answer_and_details(file, tmp_path):
    inspect_questions(file, tmp_path / "p.html", number=1, tasks=["object_abs_distance"])
    page = (tmp_path / "p.html").read_text()
    row = next(row for row in rows_of(file) if row["id"] in page)
    assert row["question_type"] == "object_abs_distance"
    assert f'<li class="right">{row["provenance"]["answer"]}</li>' in page
    assert "&quot;distance&quot;" in page
    for thing in row["provenance"]["objects"]:
        assert f">{thing['category']}</span>" in page


def test_a_sheet_is_one_picture(file, tmp_path):
    inspect_questions(file, tmp_path / "s.png", number=3)
    image = Image.open(tmp_path / "s.png")
    assert image.width == 1500
    assert image.height > 3 * 250


def test_questions_are_chosen_by_seed_and_of_all_types_in_turn(file):
    kinds = question_types([])
    chosen = choose_rows(file, 20, kinds, 0)
    assert [row["id"] for row in chosen] == [row["id"] for row in choose_rows(file, 20, kinds, 0)]
    assert [row["id"] for row in chosen] != [row["id"] for row in choose_rows(file, 20, kinds, 1)]
    assert len({row["provenance"]["variant"] for row in chosen}) == 20


def test_scenes_that_moved_are_asked_for(file, rooms, tmp_path):
    other = tmp_path / "q.jsonl"
    shutil.copy(file, other)
    with pytest.raises(UserError, match="give --scenes"):
        inspect_questions(other, tmp_path / "p.html")
    assert inspect_questions(other, tmp_path / "p.html", places=[rooms], number=1) == 1


def test_scenes_that_changed_are_named(file, rooms, tmp_path):
    folder = tmp_path / "rooms"
    shutil.copytree(rooms, folder)
    for path in folder.glob("*/scene.json"):
        write_scene(dataclasses.replace(read_scene(path), frames=()), path)
    with pytest.raises(UserError, match=r"scene chance\d+ has changed"):
        inspect_questions(file, tmp_path / "p.html", places=[folder], tasks=["camera_displacement"])


@pytest.mark.parametrize(
    ("name", "tasks", "reason"), [("p.pdf", (), "ends in .html or .png"), ("p.html", ("x",), "unknown task")]
)
def test_wrong_requests_are_refused(file, tmp_path, name, tasks, reason):
    with pytest.raises(UserError, match=reason):
        inspect_questions(file, tmp_path / name, tasks=tasks)


def test_the_frames_shown_are_those_asked_about(rooms):
    scene = read_scene(rooms / "chance00000" / "scene.json")
    asked = {"objects": [], "frames": [{"place": 7, "frame_id": 60}, {"place": 3, "frame_id": 20}]}
    assert frames_to_show(scene, asked) == [2, 6]
    thing = next(s.instance_id for frame in scene.frames for s in frame.sightings)
    shown = frames_to_show(scene, {"objects": [{"instance_id": thing}], "frames": []})
    assert len(shown) == 1
    assert thing in {s.instance_id for s in scene.frames[shown[0]].sightings}
    assert len(frames_to_show(scene, {"objects": [], "frames": []})) == 4


def test_the_asked_objects_box_is_drawn_where_the_sighting_says(rooms, tmp_path):
    scene = read_scene(rooms / "chance00000" / "scene.json")
    place, sighting = next((i, s) for i, f in enumerate(scene.frames) for s in f.sightings if min(s.box) > 20)
    objects = [{"index": 0, "category": "", "instance_id": sighting.instance_id}]
    shown = picture(scene, tmp_path, place, {"objects": objects, "frames": []})
    assert shown.caption.startswith(f"frame {place + 1} of 32")
    red = np.array([int(PALETTE[0][i : i + 2], 16) for i in (1, 3, 5)])
    left, _, right, bottom = sighting.box  # 320x240, shown at the same size
    line = np.asarray(shown.image)[bottom, left + 2 : right - 2]
    assert (np.abs(line.astype(int) - red).max(1) < 3).all()


def test_an_image_file_is_shown_as_it_is(rooms, tmp_path):
    scene = read_scene(rooms / "chance00000" / "scene.json")
    Image.new("RGB", (640, 480), (10, 200, 30)).save(tmp_path / "f.png")
    frames = (dataclasses.replace(scene.frames[0], image="f.png"), *scene.frames[1:])
    shown = picture(dataclasses.replace(scene, frames=frames), tmp_path, 0, {"objects": [], "frames": []})
    assert shown.image.getpixel((100, 100)) == (10, 200, 30)
    assert shown.caption == "frame 1 of 32"


def test_a_footprint_has_the_boxes_floor_area(rooms):
    from shapely.geometry import Polygon

    for thing in read_scene(rooms / "chance00000" / "scene.json").objects:
        assert Polygon(footprint(thing.box)).area == pytest.approx(thing.box.size[0] * thing.box.size[1])


def test_a_map_marks_the_asked_object(rooms):
    scene = read_scene(rooms / "chance00000" / "scene.json")
    base = {"frames": [], "details": {}, "task": "object_counting"}
    plain = np.asarray(floor_map(scene, {**base, "objects": []}), int)
    marked = np.asarray(floor_map(scene, {**base, "objects": [{"index": 0}]}), int)
    assert (plain != marked).any()


def test_the_table_counts_what_is_there(file):
    found = statistics(file)
    rows = rows_of(file)
    assert sum(entry.count for entry in found.types.values()) == len(rows)
    assert f"| all | {len(rows):,} |" in table(found)
    assert found.types["object_rel_direction_easy"].random == 0.5
    assert found.types["object_abs_distance"].random is None
    assert found.types["room_size_estimation"].letters == {}


def test_a_prior_of_the_same_file_does_better_than_that_of_other_scenes(file):
    own, crossed = (statistics(file, prior).types["object_rel_distance"] for prior in (file, None))
    assert own.blind > crossed.blind
    assert own.blind > (own.random or 1) + 0.05


def test_plots_are_written(file, tmp_path):
    paths = plot_statistics(statistics(file), tmp_path / "plots")
    assert {path.name for path in paths} == {
        "types.png", "letters.png", "words.png", "numbers.png", "categories.png", "blind.png",
    }  # fmt: skip
    assert all(Image.open(io.BytesIO(path.read_bytes())).width > 500 for path in paths)


@pytest.mark.parametrize(
    ("content", "reason"), [("{\n", "line 1 is no row"), ("[1]\n", "line 1 is no row"), ("", "holds no questions")]
)
def test_files_that_hold_no_questions_are_refused(tmp_path, content, reason):
    (tmp_path / "q.jsonl").write_text(content)
    with pytest.raises(UserError, match=reason):
        statistics(tmp_path / "q.jsonl")
    with pytest.raises(UserError, match="cannot be read"):
        statistics(tmp_path / "absent.jsonl")


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b'{"question_type": "object_counting"}\n'])
def test_rows_that_lack_fields_or_are_no_text_are_refused(tmp_path, content):
    (tmp_path / "q.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"q\.jsonl"):
        statistics(tmp_path / "q.jsonl")


def test_places_that_cannot_be_written_are_named(file, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        inspect_questions(file, tmp_path / "absent" / "p.html", number=1)
    with pytest.raises(UserError, match="cannot be written"):
        plot_statistics(statistics(file), tmp_path / "taken")


@pytest.mark.parametrize("name", ["../red.png", "junk.png", "n" * 300])
def test_pictures_outside_the_scene_or_unreadable_are_drawn_instead(rooms, tmp_path, name):
    Image.new("RGB", (640, 480), "red").save(tmp_path / "red.png")
    folder = tmp_path / "scene"
    folder.mkdir()
    (folder / "junk.png").write_text("no picture")
    scene = read_scene(rooms / "chance00000" / "scene.json")
    frames = tuple(dataclasses.replace(frame, image=name) for frame in scene.frames)
    shown = picture(dataclasses.replace(scene, frames=frames), folder, 0, {"objects": []})
    assert "drawn" in shown.caption


def test_names_cannot_bring_markup_into_a_page(rooms, tmp_path):
    name = "<script>alert(1)</script>"
    scene = read_scene(rooms / "chance00000" / "scene.json")
    objects = tuple(dataclasses.replace(o, category=name + o.category) for o in scene.objects)
    counts = {name + category: count for category, count in scene.counts.items()}
    (tmp_path / "s").mkdir()
    write_scene(
        dataclasses.replace(scene, scene_id=name, objects=objects, counts=counts), tmp_path / "s" / "scene.json"
    )
    generate(find_sources([tmp_path / "s"]), tmp_path / "q.jsonl", GenerateOptions(per_scene=1))
    inspect_questions(tmp_path / "q.jsonl", tmp_path / "p.html", places=[tmp_path / "s"])
    page = (tmp_path / "p.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page


def test_scenes_given_one_by_one_are_told_apart(rooms, tmp_path):
    places = []
    for parent, name in (("a", "chance00000"), ("b", "chance00001")):
        shutil.copytree(rooms / name, tmp_path / parent / "room")
        places.append(tmp_path / parent / "room")
    out = tmp_path / "q.jsonl"
    options = GenerateOptions(tasks=("room_size_estimation",), balance=False)
    generate(find_sources(places), out, options)
    assert {row["provenance"]["source"] for row in rows_of(out)} == {"room"}
    assert inspect_questions(out, tmp_path / "p.html", places=places) == 2
    with pytest.raises(UserError, match="has no scene room"):
        inspect_questions(out, tmp_path / "p.html", places=places[:1])
