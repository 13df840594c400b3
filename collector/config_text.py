"""`${env:NAME:-default}` in configuration values.

After the OpenTelemetry configuration data model: only in scalar values, never in keys; `$$` is a
dollar sign; an unset name without default is empty; a scalar that is one whole reference is typed
again as YAML; what is put in never becomes structure. `${file:PATH}` puts in a file's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_REFERENCE = re.compile(r"\$\$|\$\{([^}]*)\}")
_BODY = re.compile(r"^(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$", re.DOTALL)
_DEPTH_MAX = 32


class ConfigTextError(ValueError):
    """A reference that cannot be read."""


def read_yaml(text: str) -> Any:
    """Read YAML as plain values.

    Raises
    ------
    ConfigTextError
        It is not YAML. PyYAML says so in several ways: of a day 99 by ValueError, of 800 brackets by RecursionError.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigTextError(str(error)) from error
    except RecursionError:
        raise ConfigTextError("nested too deep") from None


def substitute(value: Any, environ: Mapping[str, str], depth: int = 0) -> Any:
    """Return `value` with every reference in its scalars replaced.

    Raises
    ------
    ConfigTextError
        A reference is malformed, a file cannot be read, or the tree is deeper than 32.
    """
    if depth > _DEPTH_MAX:
        raise ConfigTextError(f"nested deeper than {_DEPTH_MAX} levels")
    if isinstance(value, dict):
        return {key: substitute(item, environ, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, environ, depth + 1) for item in value]
    return _scalar(value, environ) if isinstance(value, str) and "$" in value else value


def _scalar(text: str, environ: Mapping[str, str]) -> Any:
    if "${" in _REFERENCE.sub("", text):
        raise ConfigTextError(f"{text[:80]!r} opens a reference and does not close it; expected ${{env:NAME}}")
    whole = _REFERENCE.fullmatch(text)
    filled = _REFERENCE.sub(lambda match: _look_up(match, environ), text)
    if whole is None or whole.group(0) == "$$" or (whole.group(1) or "").startswith("file:"):
        return filled
    try:
        typed = read_yaml(filled) if filled else None
    except ConfigTextError:
        return filled  # "[1" is no list, and good text
    return typed if typed is None or isinstance(typed, str | bool | int | float) else filled


def _look_up(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match.group(0) == "$$":
        return "$"
    body = match.group(1)
    if body.startswith("file:"):
        try:
            return Path(body[5:]).read_text("utf-8").strip()
        except (OSError, ValueError) as error:  # not UTF-8; a path with a zero byte
            raise ConfigTextError(f"cannot read the file of ${{{body}}}: {error}") from error
    found = _BODY.match(body)
    if found is None:
        raise ConfigTextError(f"${{{body}}} is not a reference; expected ${{env:NAME}} or ${{env:NAME:-default}}")
    name, default = found.group(1), found.group(2) or ""
    return environ.get(name) or default
