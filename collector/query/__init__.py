"""The way out for people and programs that ask: REST and gRPC over one store."""
