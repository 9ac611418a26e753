"""`python -m bench.without_hash serve`: the service as installed, but that every password is right and none is hashed,
to tell what a login takes besides."""

from keybearer.server.adapters.passwords.argon2_hashes import Argon2Hash
from keybearer.server.cli.main import app


def _is_right(_: Argon2Hash, __: bytes) -> bool:
    return True


if __name__ == "__main__":
    Argon2Hash.verify = _is_right  # type: ignore[method-assign, assignment]  # to leave out the hash, here alone
    app(prog_name="keybearer")
