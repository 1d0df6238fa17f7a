"""A run without the video, set beside a run with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.evaluation.run.compare import Key, by_key, read_checked
from vlm3r.evaluation.run.fingerprints import short_hash
from vlm3r.evaluation.run.journal import Record

WITHOUT_VIDEO = ("blind", "dummy-video")


@dataclass(frozen=True)
class BlindRun:
    """The answers of a run whose model did not see the videos."""

    folder: Path
    """Where it lies."""
    fingerprint: Record
    """What its answers depend on."""
    answers: dict[Key, Record]
    """Its answers, each under what tells its question from others."""

    def matching(self, records: Sequence[Record]) -> list[Record]:
        """Its answers to the questions of another run, those that it has."""
        return [self.answers[key] for key in by_key(records) if key in self.answers]

    def record(self, matched: int) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "run": str(self.folder),
            "probe": self.fingerprint["probe"],
            "fingerprint": short_hash(self.fingerprint),
            "questions": matched,
        }


def read_blind(folder: Path) -> BlindRun:
    """The blind run in a folder.

    Raises:
        UserError: there is none, it is damaged, or its model saw the videos.
    """
    fingerprint, answers = read_checked(folder)
    if fingerprint.get("probe") not in WITHOUT_VIDEO:
        raise UserError(
            f"{folder}: is a run with probe {fingerprint.get('probe')!r}, whose model saw the videos; "
            f"for --blind make one with --probe {' or '.join(WITHOUT_VIDEO)}"
        )
    return BlindRun(folder, fingerprint, by_key(answers))
