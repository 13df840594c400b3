"""Who may ask over gRPC: every method, known or not, needs the role `read`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from collector.auth.guard import Guard
from collector.auth.identity import Role
from collector.errors import RefusedError
from collector.query.grpc_refusals import refuse


class AccessInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Looks at the credential before the method runs, on its thread: the thread that finds methods must not wait."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            # Who is not known does not learn which methods there are.
            return grpc.unary_unary_rpc_method_handler(self._checked(_unknown))
        kinds = (
            (handler.unary_unary, grpc.unary_unary_rpc_method_handler),
            (handler.unary_stream, grpc.unary_stream_rpc_method_handler),
            (handler.stream_unary, grpc.stream_unary_rpc_method_handler),
            (handler.stream_stream, grpc.stream_stream_rpc_method_handler),
        )
        behaviour, make = next((behaviour, make) for behaviour, make in kinds if behaviour is not None)
        return make(self._checked(behaviour), handler.request_deserializer, handler.response_serializer)

    def _checked(self, behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def checked(request: Any, context: Any) -> Any:
            headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            try:
                self._guard.admit(headers, Role.READ)
            except RefusedError as refusal:
                refuse(context, refusal)
            return behaviour(request, context)

        return checked


def _unknown(request: Any, context: Any) -> Any:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
