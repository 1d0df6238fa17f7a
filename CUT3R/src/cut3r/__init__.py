"""CUT3R: a recurrent geometry encoder for video, complete in itself."""

from cut3r.checkpoint import CheckpointError
from cut3r.config import CUT3RConfig
from cut3r.model import CUT3R, export_published
from cut3r.output import CUT3ROutput
from cut3r.stream import CUT3RStream

__all__ = ["CUT3R", "CUT3RConfig", "CUT3ROutput", "CUT3RStream", "CheckpointError", "export_published"]
