"""Furniture and objects built from parameters; no downloaded assets."""

from .kind import Kind, Top
from .registry import KINDS

__all__ = ["KINDS", "Kind", "Top"]
