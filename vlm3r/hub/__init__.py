"""Publishing checkpoints: what is uploaded to the hub, what is refused, the model card, and the upload itself."""
