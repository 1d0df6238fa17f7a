"""Training: recipes, data mixtures, packing, the trainer, and what a run leaves behind."""
