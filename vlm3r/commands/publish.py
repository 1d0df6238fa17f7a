"""`vlm3r publish`: a checkpoint with its model card to the hub, or a list of what would go there."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from vlm3r.commands.console import say, stage
from vlm3r.errors import UserError
from vlm3r.hub.contents import PublishOptions, collect
from vlm3r.hub.upload import check_repo_name, upload

LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")


def run(checkpoint: Path, options: PublishOptions, private: bool, dry_run: bool) -> None:
    """Collect, check and list what is uploaded; then upload it, unless `dry_run`, which shows the card instead.

    Standard output gets a line for each file (SHA-256, bytes, path), then the card or the commit's address.
    """
    check_repo_name(options.repo)
    for name, what in ((options.base, "--base"), *((name, "--dataset") for name in options.datasets)):
        if name is not None:
            check_repo_name(name, what)
    if options.licence is not None and not LICENCE.fullmatch(options.licence):
        raise UserError(f"--license {options.licence!r}: give an identifier of the hub, such as apache-2.0 or other")
    with tempfile.TemporaryDirectory(prefix="vlm3r-publish-") as temporary:
        with stage(f"Checking {checkpoint}"):
            contents = collect(checkpoint, options, Path(temporary))
        for notice in contents.notices:
            say(notice)
        for entry in contents.entries:
            print(f"{entry.sha256}  {entry.size:>12}  {entry.path}")
        total = sum(entry.size for entry in contents.entries)
        say(f"{len(contents.entries)} files, {total / 1e6:.1f} MB")
        if dry_run:
            print(f"\n{contents.card}", end="", flush=True)
            return
        with stage(f"Uploading to {options.repo}"):
            address = upload(contents.folder, options.repo, private)
        print(address)
