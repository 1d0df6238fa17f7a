#!/usr/bin/env python
"""Checks generated questions against a second opinion that shares no code with the question engine.

    python scripts/check/qa_oracle.py --scenes DIR --questions FILE [--json OUT] [--limit SHARE]

Reads scene files, instance masks and depth as plain JSON and PNG, decides every question anew by sampling, trimesh,
shapely and SciPy, and prints per question type how many agree, disagree or are too close to decide, with reasons and
examples. Exits with 1 if any type disagrees in more than the given share (none by default) of its questions.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.qa.oracle.plain import read_scenes
from tests.qa.oracle.report import as_json, judge_all, table
from tests.qa.oracle.rows import read_rows


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder of scenes, one scene.json each")
    parser.add_argument("--questions", type=Path, required=True, help="JSON Lines of the benchmark format")
    parser.add_argument("--json", type=Path, help="also write the counts and examples here")
    parser.add_argument("--limit", type=float, default=0.0, help="share of disagreement that a type may have")
    parser.add_argument("--appears", type=float, default=0.001, help="share of the picture that makes an object appear")
    options = parser.parse_args()
    tallies = judge_all(read_scenes(options.scenes, options.appears), read_rows(options.questions))
    print(table(tallies))
    if options.json:
        options.json.write_text(json.dumps(as_json(tallies), indent=1) + "\n", encoding="utf-8")
    failed = [kind for kind, tally in tallies.items() if tally.disagreement > options.limit]
    if not any(not kind.startswith("scene:") for kind in tallies):
        print("no question was checked", file=sys.stderr)
        return 1
    if failed:
        print(f"more than {options.limit:.1%} disagree: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
