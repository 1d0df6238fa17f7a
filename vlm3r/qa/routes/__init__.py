"""Walks between named objects: what floor is free, which straight legs it allows, and which turns they need."""
