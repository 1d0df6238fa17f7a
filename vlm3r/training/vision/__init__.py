"""A small SigLIP from rooms: patch tokens against the names of what the patches show."""
