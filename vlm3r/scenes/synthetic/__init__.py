"""Furnished rooms made from a seed: floor plan, furniture, light, camera walk, video and exact annotations."""
