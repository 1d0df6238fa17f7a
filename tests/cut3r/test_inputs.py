from __future__ import annotations

import pytest
import torch
from cut3r import CUT3RConfig

from tests.cut3r.cut3r_golden import constructor_of, model_of, tiny_frames

RAYS = torch.zeros(1, 2, 48, 64, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": torch.zeros(2, 3, 48, 64)}, r"leading batch axis: frames\[None\]"),
        ({"frames": torch.zeros(1, 2, 48, 64, 3)}, "channels seem to be last"),
        ({"frames": torch.zeros(1, 2, 4, 48, 64)}, "3 channels on axis 2"),
        ({"frames": torch.zeros(1, 2, 3, 50, 64)}, r"height \(axis 3\) must be a positive multiple of 16, got 50"),
        ({"frames": torch.zeros(1, 2, 3, 48, 72)}, r"width \(axis 4\) must be a positive multiple of 16, got 72"),
        ({"frames": torch.zeros(1, 0, 3, 48, 64)}, "empty frame axis"),
        ({"frames": torch.zeros(1, 2, 3, 48, 64, dtype=torch.uint8)}, "floating point"),
        ({"img_mask": torch.ones(2, 1, dtype=torch.bool)}, r"img_mask must be \(batch, frame\) = \(1, 2\)"),
        ({"update": torch.ones(1, 2)}, "update must be a bool tensor"),
        ({"reset": torch.ones(2, dtype=torch.bool)}, r"reset must be \(batch, frame\)"),
        ({"img_mask": torch.zeros(1, 2, dtype=torch.bool)}, "at least one image"),
        ({"ray_maps": RAYS}, "ray_maps needs ray_mask"),
        ({"ray_mask": torch.ones(1, 2, dtype=torch.bool)}, "there are no ray_maps"),
        (
            {"ray_maps": RAYS.movedim(-1, 2), "ray_mask": torch.ones(1, 2, dtype=torch.bool)},
            r"ray_maps must be \(batch, frame, height, width, 6\)",
        ),
        ({"state_update": "ttt"}, "state_update must be one of"),
        ({"encode_chunk": 0}, "encode_chunk must be at least 1"),
    ],
)
def test_a_wrong_input_is_refused_with_a_message_that_names_it(arguments, message):
    with pytest.raises(ValueError, match=message):
        model_of("tiny")(**({"frames": tiny_frames(1, 2)} | arguments))


def test_the_default_configuration_is_the_published_model():
    assert CUT3RConfig.from_constructor(constructor_of("full")) == CUT3RConfig()


@pytest.mark.parametrize("name", ["tiny", "tiny_dpt", "full"])
def test_configurations_survive_dictionaries_and_constructors(name):
    config = CUT3RConfig.from_constructor(constructor_of(name))
    assert CUT3RConfig.from_dict(config.to_dict()) == config
    assert CUT3RConfig.from_constructor(config.to_constructor()) == config
    odd = CUT3RConfig(rope_base=50.5, dpt_layer_dims=(8, 8, 8, 8), mlp_ratio=2, norm_eps=1e-5)
    assert CUT3RConfig.from_constructor(odd.to_constructor()) == odd


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"enc_depht": 2}, "'enc_depht'.*did you mean 'enc_depth'"),
        ({"pos_embed": "cosine"}, "pos_embed='cosine'"),
        ({"output_mode": "pts3d"}, "output_mode='pts3d' is not supported"),
        ({"conf_mode": ("exp", 0, 1)}, "conf_mode"),
        ({"head_type": "mlp"}, "head_type"),
        ({"state_pe": "3d"}, "state_pe"),
        ({"state_size": 0}, "state_size must be a positive integer"),
        ({"ray_enc_depth": -1}, "ray_enc_depth must be a non-negative integer"),
        ({"dec_num_heads": 5}, "dec_embed_dim .* must be a multiple of 4 \\* dec_num_heads"),
        ({"dpt_layer_dims": (1, 2, 3)}, "needs 4 numbers"),
        ({"dec_depth": 1}, "dec_depth of at least 2"),
    ],
)
def test_a_wrong_constructor_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CUT3RConfig.from_constructor(arguments)


def test_an_unknown_configuration_key_names_the_nearest_field():
    with pytest.raises(ValueError, match="did you mean 'local_mem_size'"):
        CUT3RConfig.from_dict({"local_memory_size": 3})
