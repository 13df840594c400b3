"""What all sections of the configuration are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from analyzer.digits import is_number


def endpoint(value: str) -> str:
    """Check "host:port".

    Raises
    ------
    ValueError
        It is something else.
    """
    host, separator, port = value.rpartition(":")
    if not separator or not host or not _is_port(port):
        raise ValueError(f"{value!r} is not host:port; expected for example 127.0.0.1:4317")
    if "/" in host:
        raise ValueError(f"{value!r} is a URL; expected host:port, for example 127.0.0.1:4317, without a scheme")
    return value


def _is_port(text: str) -> bool:
    return is_number(text, 5) and int(text) <= 65535


def _file(value: Path) -> Path:
    if str(value) in ("", "."):
        raise ValueError("is empty; expected the path of a file")
    return value


Endpoint = Annotated[str, AfterValidator(endpoint)]
FilePath = Annotated[Path, AfterValidator(_file)]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
