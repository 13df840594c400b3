"""Answers as protobuf messages, and back.

In: `Answer`, `FindingRow`. Out: messages of firstfault.v1, and the other way round. The two shapes have the same
field names, so one walk maps both ways; `check_mapping` says what the proto lacks when `Answer` has grown.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from pydantic import BaseModel

from analyzer.errors.group_words import ErrorGroup
from analyzer.findings import Answer
from analyzer.incident_words import Incident
from collector.contracts import FindingRow
from collector.pb.firstfault.v1 import groups_pb2 as groups_pb
from collector.pb.firstfault.v1 import incidents_pb2 as incidents_pb
from collector.pb.firstfault.v1 import root_cause_pb2 as pb

M = TypeVar("M", bound=BaseModel)


def answer_to_proto(answer: Answer) -> pb.Answer:
    """Write an answer as a message."""
    message = pb.Answer()
    _fill(message, answer)
    return message


def answer_from_proto(message: pb.Answer) -> Answer:
    """Read an answer from a message.

    Raises
    ------
    pydantic.ValidationError
        The message holds what an answer cannot (an unspecified status, a probability over 1).
    """
    return _read(message, Answer)


def incident_to_proto(incident: Incident) -> incidents_pb.Incident:
    """Write an incident as a message."""
    message = incidents_pb.Incident()
    _fill(message, incident)
    return message


def incident_from_proto(message: incidents_pb.Incident) -> Incident:
    """Read an incident from a message.

    Raises
    ------
    pydantic.ValidationError
        The message holds what an incident cannot.
    """
    return _read(message, Incident)


def group_to_proto(group: ErrorGroup) -> groups_pb.ErrorGroup:
    """Write a group of errors as a message."""
    message = groups_pb.ErrorGroup()
    _fill(message, group)
    return message


def group_from_proto(message: groups_pb.ErrorGroup) -> ErrorGroup:
    """Read a group of errors from a message.

    Raises
    ------
    pydantic.ValidationError
        The message holds what a group cannot.
    """
    return _read(message, ErrorGroup)


def status_from_proto(value: int) -> str | None:
    """Read the status of an incident in a request; None when it is unspecified.

    Raises
    ------
    ValueError
        The number is none of `IncidentStatus`.
    """
    if value == incidents_pb.INCIDENT_STATUS_UNSPECIFIED:
        return None
    return incidents_pb.IncidentStatus.Name(value).removeprefix("INCIDENT_STATUS_").lower()  # type: ignore[arg-type]


def finding_to_proto(row: FindingRow) -> pb.Finding:
    """Write one line of a list of findings as a message."""
    return pb.Finding(
        trace_id=row.trace_id,
        revision=row.revision,
        start_ns=row.start_ns,
        end_ns=row.end_ns,
        root_service=row.root_service,
        root_operation=row.root_operation,
        verdict=pb.VerdictKind.Value(_enum_name("VERDICT_KIND", row.verdict or "unspecified")),
        entity_kind=pb.EntityKind.Value(_enum_name("ENTITY_KIND", row.entity_kind or "unspecified")),
        entity_name=row.entity_name,
        service=row.service,
        rule=row.rule,
        probability=row.probability,
        summary=row.summary,
        tenant=row.tenant,
    )


def verdict_from_proto(value: int) -> str | None:
    """Read a verdict of a request; None when it is unspecified.

    Raises
    ------
    ValueError
        The number is none of `VerdictKind`.
    """
    if value == pb.VERDICT_KIND_UNSPECIFIED:
        return None
    return pb.VerdictKind.Name(value).removeprefix("VERDICT_KIND_").lower()  # type: ignore[arg-type]


def check_mapping(model: type[BaseModel] = Answer, descriptor: Descriptor = pb.Answer.DESCRIPTOR) -> list[str]:
    """Name every field or value that one side has and the other lacks; empty when they agree."""
    missing = []
    for name in sorted(set(model.model_fields) ^ set(descriptor.fields_by_name)):
        side = descriptor.full_name if name in model.model_fields else model.__name__
        missing.append(f"{side} has no field {name}")
    for name, field in descriptor.fields_by_name.items():
        if name not in model.model_fields:
            continue
        words = list(_inner(model.model_fields[name].annotation))
        if field.enum_type is not None:
            wanted = {_enum_name(_prefix(field.enum_type), word) for word in words if isinstance(word, str)}
            for value in sorted(wanted ^ (set(field.enum_type.values_by_name) - {field.enum_type.values[0].name})):
                missing.append(f"{field.full_name}: {value} stands on one side only")
        elif field.message_type is not None and not _is_map(field):
            (inner,) = [word for word in words if isinstance(word, type) and issubclass(word, BaseModel)]
            missing += check_mapping(inner, field.message_type)
    return missing


def _fill(message: Message, word: BaseModel) -> None:
    for name, field in message.DESCRIPTOR.fields_by_name.items():
        value = getattr(word, name)
        if value is None:
            continue
        target = getattr(message, name)
        if _is_map(field):
            target.update(value)
        elif field.is_repeated and field.message_type is not None:
            for item in value:
                _fill(target.add(), item)
        elif field.is_repeated:
            target.extend([_number(field.enum_type, item) for item in value] if field.enum_type is not None else value)
        elif field.message_type is not None:
            target.SetInParent()
            _fill(target, value)
        elif field.enum_type is not None:
            setattr(message, name, _number(field.enum_type, value))
        else:
            setattr(message, name, value)


def _read(message: Message, model: type[M]) -> M:
    values: dict[str, Any] = {}
    for name, field in message.DESCRIPTOR.fields_by_name.items():
        value = getattr(message, name)
        if _is_map(field):
            values[name] = dict(value)
        elif field.message_type is not None:
            annotation = model.model_fields[name].annotation
            (inner,) = [word for word in _inner(annotation) if isinstance(word, type) and issubclass(word, BaseModel)]
            if field.is_repeated:
                values[name] = [_read(item, inner) for item in value]
            elif message.HasField(name):
                values[name] = _read(value, inner)
        elif field.is_repeated:
            values[name] = [_word(field.enum_type, item) for item in value] if field.enum_type else list(value)
        elif field.enum_type is not None:
            values[name] = _word(field.enum_type, value)
        elif not field.has_presence or message.HasField(name):
            values[name] = value
    return model.model_validate(values)


def _is_map(field: Any) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _prefix(enum: Any) -> str:
    """VERDICT_KIND of VerdictKind: what buf wants before each value."""
    return str(enum.values[0].name.removesuffix("_UNSPECIFIED"))


def _number(enum: Any, word: str) -> int:
    return int(enum.values_by_name[_enum_name(_prefix(enum), word)].number)


def _word(enum: Any, number: int) -> str:
    known = enum.values_by_number.get(number)
    shown = known.name if known is not None else str(number)
    return str(shown).removeprefix(f"{_prefix(enum)}_").lower()


def _enum_name(prefix: str, word: str) -> str:
    return f"{prefix}_{word.upper()}"


def _inner(annotation: Any) -> Iterator[Any]:
    """Leaves of a type: the models, plain types and literal words in it."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from get_args(annotation)
    elif origin in (list, dict, Union, types.UnionType, typing.Annotated):
        for part in get_args(annotation):
            yield from _inner(part)
    else:
        yield annotation
