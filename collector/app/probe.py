"""`python -m collector.app.probe [HOST:PORT]`: exit status 0 when the server there is alive. The image's health check.

Takes only the standard library, so that it costs little however often it is asked.
"""

from __future__ import annotations

import http.client
import sys

DEFAULT = "127.0.0.1:13133"
TIMEOUT_S = 2.0
WORDS_MAX = 2_000


def main(address: str = DEFAULT) -> int:
    """Ask /healthz; say why not on standard error."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        words = response.read(WORDS_MAX).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer from {address}: {error or type(error).__name__}\n")
        return 1
    finally:
        connection.close()
    if response.status == 200:
        return 0
    sys.stderr.write(f"{address} answers {response.status}: {words}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
