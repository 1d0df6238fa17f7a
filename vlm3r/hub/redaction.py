"""Paths and names of one machine, cut out of records that are about to be published."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any

PERSONAL = frozenset(
    ("author", "email", "host", "hostname", "login", "node", "nodename", "owner", "user", "user_name", "username")
)
"""Fields whose text names a person or a machine."""

REMOVED = "(removed)"
_WHOLE = re.compile(r"^(?:file:/|/[^\s/]|~[\w.-]*[/\\]|[A-Za-z]:[\\/]|\\\\|\.\.[\\/])")
_PART = r"""[^\s"'`,;:)\]>/\\]"""
# Begins after a blank, quote, bracket, `=`, `:` or `,`, and is no `//` of a URL.
_INSIDE = re.compile(
    r"""(?:(?<=[\s"'`=:,;(\[<])|^)"""
    rf"(?:(?:file:/{{1,3}}|/(?!/)|[A-Za-z]:[\\/](?![\\/]))(?:{_PART}+[/\\])+|~[\w.-]*[/\\](?:{_PART}+[/\\])*){_PART}*"
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


@dataclass
class Redaction:
    """A record being cleared; `changed` collects the dotted names of the fields that were."""

    changed: list[str] = field(default_factory=list)

    def value(self, value: Any, name: str = "") -> Any:
        """The value with absolute paths cut to their last part, and names of people and machines removed."""
        if isinstance(value, dict):
            return self._mapping(value, name)
        if isinstance(value, list):
            return [self.value(item, f"{name}.{index}" if name else str(index)) for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        return self._note(name, value, clear_text(value))

    def _mapping(self, value: dict[Any, Any], name: str) -> dict[Any, Any]:
        cleared: dict[Any, Any] = {}
        for key, item in value.items():
            own = self._note(name or "names", key, clear_text(key)) if isinstance(key, str) else key
            # Two folders may hold files of the same name.
            count = 1
            while own in cleared:
                count += 1
                own = f"{clear_text(str(key))} ({count})"
            cleared[own] = self._field(str(key), item, f"{name}.{own}" if name else str(own))
        return cleared

    def _field(self, key: str, item: Any, name: str) -> Any:
        if key.lower() in PERSONAL and isinstance(item, str) and item:
            return self._note(name, item, REMOVED)
        return self.value(item, name)

    def _note(self, name: str, before: str, after: str) -> str:
        if before != after and name not in self.changed:
            self.changed.append(name)
        return after


def clear_text(text: str) -> str:
    """The text with every absolute path cut to its last part, and addresses of people removed."""
    if _WHOLE.match(text) and "\n" not in text:
        return last_part(text)
    return _EMAIL.sub(REMOVED, _INSIDE.sub(lambda match: last_part(match.group()), text))


def last_part(path: str) -> str:
    """The file or folder name at the end of a POSIX or Windows path, unless it is the name of a home folder."""
    parsed = PureWindowsPath(path)
    is_home = parsed.parent.name.lower() in ("home", "users") or parsed.name.startswith("~")
    return REMOVED if is_home or not parsed.name else parsed.name
