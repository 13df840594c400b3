"""OTLP as protobuf sees it when text is only bytes: the oracle of what is structurally right.

protobuf refuses a whole request for one text that is not UTF-8; we do not. So the descriptors are
copied with every `string` field turned into `bytes`, and protobuf itself says what else it refuses.
"""

from __future__ import annotations

from functools import cache

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from collector.contracts import Signal

_FILES = {
    Signal.TRACES: (trace_service_pb2, "ExportTraceServiceRequest"),
    Signal.LOGS: (logs_service_pb2, "ExportLogsServiceRequest"),
    Signal.METRICS: (metrics_service_pb2, "ExportMetricsServiceRequest"),
}


@cache
def _textless(signal: Signal) -> type[Message]:
    module, name = _FILES[signal]
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(file) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        copy = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(copy)
        waiting = list(copy.message_type)
        for message in waiting:
            waiting.extend(message.nested_type)
            for field in message.field:
                if field.type == descriptor_pb2.FieldDescriptorProto.TYPE_STRING:
                    field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
        pool.Add(copy)

    add(module.DESCRIPTOR)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{module.DESCRIPTOR.package}.{name}"))


def protobuf_reads(payload: bytes, signal: Signal = Signal.TRACES) -> bool:
    """Whether protobuf can read the request, texts aside."""
    try:
        _textless(signal).FromString(payload)
    except DecodeError:
        return False
    return True
