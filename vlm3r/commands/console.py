"""Progress and warnings on standard error, so that standard output holds answers only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str) -> None:
    """Print a line on standard error; what names of files may hold and no line can, is spelt out, such as `\\x1b`."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    print(shown, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print text on standard output; halves of characters, as names of files may hold, become such as `\\udcff`."""
    print(text.encode("utf-8", "backslashreplace").decode("utf-8"), end="")


@contextmanager
def stage(label: str) -> Iterator[None]:
    """Announce a long step when it begins and its seconds when it ends."""
    on_terminal = sys.stderr.isatty()
    print(f"{label} ...", end="" if on_terminal else "\n", file=sys.stderr, flush=True)
    began = time.perf_counter()
    try:
        yield
    except BaseException:
        if on_terminal:
            say("")
        raise
    seconds = time.perf_counter() - began
    if on_terminal:
        say(f" {seconds:.1f} s")
    elif seconds > 1:
        say(f"{label}: {seconds:.1f} s")
