"""Checkpoints: the published layout and the native one, read, converted and written."""
