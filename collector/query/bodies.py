"""Small bodies of requests: what people decide and write."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from collector.errors import TooLargeError

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, model: type[M], bytes_max: int, usual: str) -> M:
    """Read a body; its bytes are counted as they come.

    Parameters
    ----------
    usual : how large such a body usually is, for whom it is too large

    Raises
    ------
    TooLargeError
        It has more than `bytes_max` bytes; no more of it is read.
    RequestValidationError
        It does not fit the model.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > bytes_max:
            raise TooLargeError(f"the body has more than {bytes_max} bytes; {usual}")
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_context=False)]
        raise RequestValidationError(faults) from error
