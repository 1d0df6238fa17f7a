"""YAML text as plain values, whatever the text holds."""

from __future__ import annotations

from typing import Any

import yaml

from vlm3r.files import first_line


def parse_yaml(text: str) -> Any:
    """The plain values that YAML text stands for; None for empty text.

    Raises:
        ValueError: it stands for none; one line, with the number of the line where that is known.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise ValueError(f"{where}{getattr(error, 'problem', None) or first_line(error)}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    # PyYAML lets through whatever a conversion raises: a month 13, an empty !!float, a number of 5,000 digits.
    except Exception as error:
        raise ValueError(f"a value that YAML cannot convert: {first_line(error)}") from error
