"""What needs no credentials: the public keys, health, the machine-readable contract."""

from collections.abc import Callable
from dataclasses import dataclass

from keybearer.server.domain.secret_keys import JWKS_MAX_AGE
from keybearer.server.flows.keyring import Keyring
from keybearer.server.http.answer import Answer, answer_json
from keybearer.server.http.call import Call
from keybearer.wire.documents import Health

_CACHEABLE = ((b"cache-control", b"public, max-age=%d" % JWKS_MAX_AGE),)


@dataclass(frozen=True, slots=True)
class Public:
    """`is_ready`: whether this process can answer; false while the database is out of reach and while shutting down."""

    keyring: Keyring
    is_ready: Callable[[], bool]
    openapi: Callable[[], object]

    def get_jwks(self, call: Call) -> Answer:
        return answer_json(self.keyring.current.key_set.to_jwks(), headers=_CACHEABLE)

    def get_live(self, call: Call) -> Answer:
        return answer_json(Health("live"))

    def get_ready(self, call: Call) -> Answer:
        if self.is_ready():
            return answer_json(Health("ready"))
        return answer_json(Health("unavailable"), status=503)

    def get_openapi(self, call: Call) -> Answer:
        return answer_json(self.openapi(), headers=_CACHEABLE)
