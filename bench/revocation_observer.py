"""A guarded service for `bench.revocation`: reads its guard's key, then tokens; says when each is refused."""

import sys
import time

from bench.revocation import PATIENCE, PAUSE
from keybearer.errors import AccessTokenRevoked
from keybearer.guard import Credentials, Guard


def main() -> None:
    url, api_key = sys.argv[1:]
    with Guard(f"{url}/v1/api", sys.stdin.readline().strip()) as guard:
        print("ready", flush=True)
        for line in sys.stdin:
            credentials = Credentials(api_key, f"Bearer {line.strip()}", None)
            guard.verify(credentials)
            print("accepted", flush=True)
            print(_first_refusal(guard, credentials), flush=True)


def _first_refusal(guard: Guard, credentials: Credentials) -> float:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            guard.verify(credentials)
        except AccessTokenRevoked:
            return time.monotonic()
        time.sleep(PAUSE)
    raise RuntimeError("the guard has never refused the revoked token")


if __name__ == "__main__":
    main()
