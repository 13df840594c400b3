"""firstfault as a program: what comes in, what is kept, what is asked. The analysis itself stands in `analyzer`."""

import os

# gRPC's core writes a line of its own to standard error for each refused head and failed handshake: strangers would
# fill the log. Set before grpc is first imported; who looks for a fault in it sets it to INFO.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
