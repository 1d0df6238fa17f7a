"""Paths are cut and credentials found wherever they stand, and ordinary text is left alone."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm3r.hub.redaction import REMOVED, clear_text
from vlm3r.hub.secrets import find_secrets

WORD = st.text(string.ascii_lowercase.replace("q", "") + string.digits + "_-.", min_size=3, max_size=9).filter(
    lambda word: word.strip(".-") == word and not word.startswith("~")
)
FRAMES = ("{}", "see {} there", "--out={}", "'{}'", "k: {}", '["{}", 3]', "a,{};b", "(in {})", "file://{}", "<{}>")


@given(owner=WORD, middle=st.lists(WORD, max_size=3), name=WORD, frame=st.sampled_from(FRAMES))
@pytest.mark.parametrize("home", ["/home/{}", "/Users/{}", "/mnt/x/{}", "C:\\Users\\{}", "~{}"])
def test_of_an_absolute_path_only_the_last_part_stays(home, owner, middle, name, frame):
    mark = "\\" if "\\" in home else "/"
    path = mark.join((home.format(f"zq{owner}"), *(f"zq{part}" for part in middle), name))
    if frame.startswith("file") and mark == "\\":
        return
    cleared = clear_text(frame.format(path))
    assert "zq" not in cleared
    assert name in cleared


@given(owner=WORD, frame=st.sampled_from(FRAMES))
def test_the_name_of_a_home_folder_is_removed(owner, frame):
    cleared = clear_text(frame.format(f"/home/zq{owner}"))
    assert "zq" not in cleared
    assert REMOVED in cleared


ORDINARY = [
    "data/rooms.jsonl",
    "lmms-lab/LLaVA-NeXT-Video-7B-Qwen2",
    "https://huggingface.co/someone/model/resolve/main/x.json",
    "3/4 of the rooms, and/or none",
    "lr 2e-5 / 10",
    "C: drive",
    "left: right",
    "..",
    "",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_relative_paths_hub_ids_and_addresses_stay(text):
    assert clear_text(text) == text


@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_clearing_twice_is_clearing_once_and_a_text_without_marks_of_paths_stays(text):
    once = clear_text(text)
    assert clear_text(once) == once
    if not set(text) & set("/\\~@:"):
        assert once == text


@given(
    token=st.sampled_from(
        [
            "hf_" + "x1Y2" * 8,
            "sk-" + "x1Y2" * 6,
            "AKIA" + "ABCD" * 4,
            "ghp_" + "x1Y2" * 9,
            "https://ann:word@example.org",
            "password=hunter2",
            '"api_key": "q8w7e6"',
            "--token q8w7e6",
            "AWS_SECRET_ACCESS_KEY=q8w7e6",
        ]
    ),
    before=st.text(string.ascii_letters + " .,:\n", max_size=20),
    after=st.text(string.ascii_letters + " .,\n", max_size=20),
)
def test_a_credential_is_found_wherever_it_stands(token, before, after):
    text = f"{before} {token} {after}"
    lines = {finding.line for finding in find_secrets(text)}
    assert len(before.split("\n")) in lines
