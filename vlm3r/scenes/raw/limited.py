"""Small files read whole, unless they are too large to be what they should be."""

from __future__ import annotations

from pathlib import Path

from vlm3r.files import first_line
from vlm3r.scenes.fields import FieldError


def read_limited(path: Path, limit: int) -> bytes:
    """The content of a file.

    Raises:
        FieldError: it is missing, cannot be read, or has more than `limit` bytes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise FieldError("no such file") from None
    except OSError as error:
        raise FieldError(f"cannot be read ({first_line(error)})") from None
    if len(content) > limit:
        raise FieldError(f"has more than {limit} bytes")
    return content
