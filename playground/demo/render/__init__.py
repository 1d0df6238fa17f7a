"""A small renderer of furnished rooms: parametric furniture, baked light, and a walk-through video with exact poses."""
