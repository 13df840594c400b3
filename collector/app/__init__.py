"""The only place that knows all rooms: builds them from the configuration, starts back to front, stops front to back.

    engine_room     store, outbox exporter, analyzer, assembler, the engine's thread
    receiver_room   gate and doors
    query_room      REST and gRPC answers

One process may hold all three (`--processes 1`), or one each (`collector.process`). Each is a module of
its own so that a receiver process does not load what only the engine needs.
"""
