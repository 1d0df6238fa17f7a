"""Small models from nothing: sizes from a recipe, a tokenizer from the questions, weights from a seed."""
