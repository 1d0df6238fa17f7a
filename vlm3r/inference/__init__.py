"""Answering: one clip encoded once, several questions asked about it."""
