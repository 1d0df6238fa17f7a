"""Every texture: made at any size, seamless where it repeats, the same in every process."""

import subprocess
import sys
import zlib

import numpy as np
import pytest

from vlm3r.scenes.synthetic.catalogue.registry import KINDS
from vlm3r.scenes.synthetic.texture_pictures import PICTURES
from vlm3r.scenes.synthetic.textures import MAKERS, SURFACES, texture, texture_stack

SEEN_WITH_A_RHYTHM = {"leaf"}  # one leaf: its tip and its stem need not match


@pytest.mark.parametrize("name", MAKERS)
def test_each_is_a_picture_of_the_size_asked_for(name):
    for size in (64, 128):
        image = texture(name, size)
        assert (image.shape, image.dtype) == ((size, size, 3), np.uint8)
        assert not image.flags.writeable
        assert image.mean() > 40 or name == "keyboard"


@pytest.mark.parametrize("name", sorted(set(SURFACES) - SEEN_WITH_A_RHYTHM))
def test_surfaces_repeat_without_a_seam(name):
    image = texture(name, 128).astype(int).mean(-1)
    for turned in (image, image.T):
        inside = np.abs(np.diff(turned, axis=0)).mean(axis=1)
        seam = np.abs(turned[0] - turned[-1]).mean()
        assert seam <= 1.3 * inside.max() + 1.5


def test_variants_differ():
    images = [texture(name, 64) for name in MAKERS if name not in ("landscape", "shapes", "rug")]
    assert len({image.tobytes() for image in images}) == len(images)


def test_another_process_paints_the_same():
    code = (
        "import zlib; from vlm3r.scenes.synthetic.textures import MAKERS, texture; "
        "print(zlib.crc32(b''.join(texture(n, 64).tobytes() for n in reversed(MAKERS))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == zlib.crc32(b"".join(texture(name, 64).tobytes() for name in reversed(MAKERS)))


def test_a_stack_holds_the_named_ones_in_order():
    names = ("wood", "plain", "clock")
    stack = texture_stack(names, 64)
    assert stack.shape == (3, 64, 64, 3)
    assert all(np.array_equal(layer, texture(name, 64)) for layer, name in zip(stack, names, strict=True))


def test_an_unknown_name_is_an_error():
    with pytest.raises(KeyError):
        texture("gold", 64)


def test_all_that_the_catalogue_uses_exists():
    used = set()
    for kind in KINDS.values():
        for seed in range(3):
            used |= {patch.material.texture for patch in kind.build(np.random.default_rng(seed))}
    assert used <= set(MAKERS)
    assert used & set(PICTURES) and used & set(SURFACES)
