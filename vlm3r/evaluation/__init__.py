"""Scoring of spatial question answering."""
