"""Training data, from files to batches."""

from vlm3r.training.data.collate import Batch, collate
from vlm3r.training.data.dataset import Failure, FeatureSource, LoadedPack, PackDataset, StoredClip
from vlm3r.training.data.indexing import read_mixture
from vlm3r.training.data.mixture import Clip, EpochPlan, Mixture, PackPlan
from vlm3r.training.data.row_files import scan_rows
from vlm3r.training.data.rows import BadRow, Row, parse_row
from vlm3r.training.data.skips import SKIPPED_FILE, SkipList

__all__ = [
    "SKIPPED_FILE",
    "BadRow",
    "Batch",
    "Clip",
    "EpochPlan",
    "Failure",
    "FeatureSource",
    "LoadedPack",
    "Mixture",
    "PackDataset",
    "PackPlan",
    "Row",
    "SkipList",
    "StoredClip",
    "collate",
    "parse_row",
    "read_mixture",
    "scan_rows",
]
