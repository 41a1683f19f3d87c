"""`python -m shared.probe`: whether what this container serves is ready, as an exit status."""

import http.client
import os
import sys

_WITHIN_S = 4.0


def main() -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8080), timeout=_WITHIN_S)
    try:
        connection.request("GET", "/health/ready")
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, http.client.HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main())
