"""Training of CUT3R on scene folders: their sequences, cached, and the recipe of a run."""
