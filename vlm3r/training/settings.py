"""Typed settings from YAML: nested frozen dataclasses, strict about names and types, with `key=value` overrides."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import reprlib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.plain_yaml import parse_yaml

Settings = TypeVar("Settings")

LARGEST = 2**63 - 1
"""Largest whole number that torch and numpy can hold."""
SEEDS = 2**32
"""Numbers of seeds that numpy's generators tell apart."""
LONGEST_NAME = 60
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 100


def read_settings(cls: type[Settings], path: str | Path, overrides: Sequence[str] = ()) -> Settings:
    """The settings in a YAML file, after `a.b=value` overrides (values are YAML).

    Args:
        cls: a frozen dataclass whose fields are scalars, literals, lists, tuples, mappings or further such classes.
        path: the file.
        overrides: `key=value` with dots between levels; a number addresses an element of a list.

    Raises:
        UserError: the file cannot be read; a key is unknown (the nearest known one is named) or a value does not fit.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); give the path of a recipe") from error
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{path}: no valid YAML ({error}); see configs/recipes for examples") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no mapping of settings; see configs/recipes for examples")
    for override in overrides:
        _override(values, override)
    return parse_settings(cls, values, str(path))


def parse_settings(cls: type[Settings], values: Mapping[str, Any], source: str) -> Settings:
    """The settings in plain values; errors name `source` and the dotted key."""
    return _dataclass(cls, values, source, "")


def settings_record(settings: Any) -> dict[str, Any]:
    """Plain JSON values from which `parse_settings` makes equal settings."""
    return _plain(dataclasses.asdict(settings))


def write_settings(settings: Any) -> str:
    """YAML text of every key, defaults included."""
    return yaml.safe_dump(settings_record(settings), sort_keys=False, allow_unicode=True)


def dotted_keys(cls: type[Any], prefix: str = "") -> Iterator[str]:
    """Every key of a settings class, nested ones with dots."""
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        kind = _dataclass_in(hints[field.name])
        yield prefix + field.name
        if kind is not None:
            yield from dotted_keys(kind, f"{prefix}{field.name}.")


def _override(values: dict[str, Any], text: str) -> None:
    key, mark, raw = text.partition("=")
    if not mark or not key.strip():
        raise UserError(f"override {_shown(text)}: give key=value, with dots between levels")
    try:
        value = parse_yaml(raw)
    except ValueError as error:
        raise UserError(f"override {_shown(text)}: the value is no valid YAML ({error})") from error
    *parents, last = key.strip().split(".")
    place: Any = values
    for name in parents:
        if isinstance(place, list):
            place = place[_position(place, name, text)]
        else:
            if not isinstance(place.get(name), dict | list):
                place[name] = {}
            place = place[name]
        if not isinstance(place, dict | list):
            raise UserError(f"override {_shown(text)}: {name} holds no settings")
    if isinstance(place, list):
        place[_position(place, last, text)] = value
    else:
        place[last] = value


def _position(place: list[Any], name: str, text: str) -> int:
    if not name.isdecimal() or len(name) > 9 or int(name) >= len(place):
        raise UserError(
            f"override {_shown(text)}: the list has {len(place)} elements; address one by its number from 0"
        )
    return int(name)


def _dataclass(cls: type[Any], values: Any, source: str, prefix: str) -> Any:
    if not isinstance(values, Mapping):
        raise UserError(f"{source}: {prefix.rstrip('.') or 'the file'} must hold settings, not {_shown(values)}")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            name = key if isinstance(key, str) and len(key) < LONGEST_NAME else _shown(key)
            near = difflib.get_close_matches(name, list(fields), n=1)
            # A key that belongs one level up or down is the commonest slip, so look everywhere before giving up.
            elsewhere = [k for k in dotted_keys(cls) if k.rsplit(".", 1)[-1] == key]
            hint = near[0] if near else elsewhere[0] if elsewhere else ", ".join(fields)
            raise UserError(f"{source}: unknown key {prefix}{name} (nearest: {prefix}{hint})")
    given = {key: _value(hints[key], value, source, prefix + key) for key, value in values.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in given:
            raise UserError(f"{source}: {prefix}{name} is missing")
    try:
        return cls(**given)
    except (ValueError, ArithmeticError) as error:
        raise UserError(f"{source}: {prefix.rstrip('.') + ': ' if prefix else ''}{first_line(error)}") from error


def _value(kind: Any, value: Any, source: str, key: str) -> Any:
    """`value` as the annotation `kind` wants it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union(arguments, value, source, key)
    if origin is Literal:
        # True equals 1, but is not the literal 1.
        if not any(value == known and type(value) is type(known) for known in arguments):
            raise UserError(f"{source}: {key} is {_shown(value)}; give one of {', '.join(map(str, arguments))}")
        return value
    if dataclasses.is_dataclass(kind):
        return _dataclass(typing.cast(type[Any], kind), value, source, key + ".")
    if origin in (tuple, list):
        return _sequence(origin, arguments, value, source, key)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{source}: {key} must be a mapping, not {_shown(value)}")
        return {str(k): _value(arguments[1], v, source, f"{key}.{k}") for k, v in value.items()}
    return _scalar(kind, value, source, key)


def _union(kinds: tuple[Any, ...], value: Any, source: str, key: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    # Strings and numbers stand for themselves; whatever else is given goes to the last kind that can hold it.
    for kind in kinds[:-1]:
        try:
            return _value(kind, value, source, key)
        except UserError:
            continue
    return _value(kinds[-1], value, source, key)


def _sequence(origin: Any, kinds: tuple[Any, ...], value: Any, source: str, key: str) -> Any:
    if not isinstance(value, list | tuple):
        raise UserError(f"{source}: {key} must be a list, not {_shown(value)}")
    fixed = origin is tuple and Ellipsis not in kinds
    if fixed and len(value) != len(kinds):
        raise UserError(f"{source}: {key} needs {len(kinds)} values, not {len(value)}")
    wanted = kinds if fixed else (kinds[0],) * len(value)
    return origin(_value(kind, v, source, f"{key}.{i}") for i, (kind, v) in enumerate(zip(wanted, value, strict=True)))


def _scalar(kind: Any, value: Any, source: str, key: str) -> Any:
    if kind is Any:
        _check_plain(value, source, key)
        return value
    if kind is float and isinstance(value, str):
        # YAML 1.1 reads 2e-5 as text.
        with suppress(ValueError):
            value = float(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    if isinstance(value, str) and "\0" in value:
        raise UserError(f"{source}: {key} holds a null character; take it out")
    if kind is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{source}: {key} must be {_name(kind)}, not {_shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{source}: {key} must be a finite number, not {value}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise UserError(f"{source}: {key} must lie between -2^63 and 2^63, not {_shown(value)}")
    return value


def _check_plain(value: Any, source: str, key: str) -> None:
    """Raise `UserError` for what cannot be written down again: dates, values that contain themselves."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{source}: {key} must be a plain value, not {_shown(value)} ({first_line(error)})") from error


def _name(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _shown(value: Any) -> str:
    # YAML's references make values whose full text would fill the memory, and numbers that Python will not write out.
    try:
        text = SHORT.repr(value)
    except ValueError:
        text = "a value too large to show"
    return text if len(text) < 60 else text[:57] + "..."


def _dataclass_in(kind: Any) -> type[Any] | None:
    """The settings class that an annotation holds, directly or as an element."""
    for candidate in (kind, *get_args(kind)):
        if isinstance(candidate, type) and dataclasses.is_dataclass(candidate):
            return candidate
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
