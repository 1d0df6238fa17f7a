"""`vlm3r qa`: generate, inspect and count questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from vlm3r.commands.console import say
from vlm3r.errors import UserError
from vlm3r.qa.descriptions import describe_file
from vlm3r.qa.engine import GenerateOptions, Summary, generate
from vlm3r.qa.sources import find_sources
from vlm3r.workers import Engine, default_workers

SHOWN_PROBLEMS = 3


def generate_file(
    places: Sequence[Path],
    frames_files: Sequence[Path],
    out: Path,
    options: GenerateOptions,
    *,
    workers: int | None,
    engine: Engine,
    overwrite: bool,
    tolerate_problems: bool,
) -> int:
    """Generate, report each scene with problems and the whole, and return the exit status."""
    sources = find_sources(places, frames_files)
    with tqdm(desc="Asking", unit="scene", disable=None) as bar:

        def counted():
            for source in sources:
                yield source
                bar.update()

        summary = generate(
            counted(),
            out,
            options,
            workers=workers or default_workers(),
            engine=engine,
            overwrite=overwrite,
            report=lambda key, problems: _report(bar, key, problems),
            about={"scenes_from": [str(place) for place in places], "frames_files": [str(f) for f in frames_files]},
        )
    for kind, number in sorted(summary.written.items()):
        print(f"{number:8,}  {kind}")
    print(f"{sum(summary.written.values()):8,}  questions about {summary.scenes:,} scenes in {out}")
    return _conclude(summary, tolerate_problems)


def describe_scenes(
    places: Sequence[Path], out: Path, per_kind: int, seed: int, least_frames: int, kinds: str, overwrite: bool
) -> int:
    """Write descriptions of scenes, say how many, and return the exit status: 1 where a scene was left out.

    Raises:
        UserError: the file exists already, or no scene gave a description.
    """
    if out.is_dir():
        raise UserError(f"{out}: is a folder; give the file to write as --out")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already: give --overwrite, or another --out")
    chosen = tuple(filter(None, (name.strip() for name in kinds.split(","))))
    left_out: list[str] = []
    sources = tqdm(find_sources(places), desc="Describing", unit="scene", disable=None)

    def leave_out(key: str, reason: str) -> None:
        left_out.append(key)
        sources.clear()
        say(f"{key}: left out, {reason}")

    written = describe_file(sources, out, per_kind, seed, least_frames, chosen, leave_out)
    print(f"{written:,} descriptions in {out}")
    return 1 if left_out else 0


def _report(bar: tqdm, key: str, problems: Sequence[str]) -> None:
    bar.clear()
    for problem in problems:
        say(f"{key}: {problem}")


def _conclude(summary: Summary, tolerate_problems: bool) -> int:
    troubled = {key: [reason] for key, reason in summary.failed.items()} | summary.warned
    if not troubled:
        return 0
    shown = [f"{key}: {problems[0]}" for key, problems in list(troubled.items())[:SHOWN_PROBLEMS]]
    more = "" if len(troubled) <= SHOWN_PROBLEMS else f"; and {len(troubled) - SHOWN_PROBLEMS} more, listed above"
    left_out = f" ({len(summary.failed)} left out)" if summary.failed else ""
    say(f"{len(troubled)} of {summary.scenes} scenes had problems{left_out}: {'; '.join(shown)}{more}")
    return 1 if summary.failed or not tolerate_problems else 0


def read_caps(entries: Sequence[str]) -> dict[str, int]:
    """Caps from `NAME=N` entries.

    Raises:
        UserError: an entry of another form.
    """
    caps = {}
    for entry in entries:
        name, _, number = entry.partition("=")
        if not name or not number.isdecimal():
            raise UserError(f"--cap {entry!r}: give NAME=N, such as room_size_estimation=1")
        caps[name.strip()] = int(number)
    return caps


def read_shares(text: str) -> dict[str, float]:
    """Shares from `train=0.8,val=0.1,test=0.1`.

    Raises:
        UserError: text of another form.
    """
    try:
        return {name.strip(): float(share) for name, _, share in (part.partition("=") for part in text.split(","))}
    except ValueError:
        raise UserError(f"--shares {text!r}: give NAME=SHARE, comma-separated, such as train=0.9,test=0.1") from None


def inspect_file(file: Path, out: Path | None, places: Sequence[Path], number: int, tasks: str, seed: int) -> None:
    """Write a page or a sheet of some questions."""
    from vlm3r.qa.inspection import inspect_questions

    target = out or file.with_name(f"{file.name}.html")
    names = tuple(filter(None, (name.strip() for name in tasks.split(","))))
    shown = inspect_questions(file, target, places=places, number=number, tasks=names, seed=seed)
    print(f"{shown} questions in {target}")


def stats_of_file(file: Path, out: Path | None, prior: Path | None) -> None:
    """Print the table, and write the plots where asked for."""
    from vlm3r.qa.stats import plot_statistics, statistics, table

    found = statistics(file, prior)
    print(table(found))
    if out is not None:
        for path in plot_statistics(found, out):
            print(path)
