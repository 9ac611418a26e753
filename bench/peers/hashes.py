"""The password hashes of the contenders, each as its own code makes them, in a loop."""

import sys
from collections.abc import Sequence

from bench.peers.contender import Hash
from bench.peers.process import PEERS, python
from bench.service import PASSWORD

_LOOP = """
import time
began = time.perf_counter()
count = 0
while (spent := time.perf_counter() - began) < {seconds}:
    hash_password({password!r})
    count += 1
print(count / spent)
"""
_OURS = """
from keybearer.server.adapters.passwords.schemes import hash_password as hash_bytes
hash_password = lambda password: hash_bytes(password.encode())
"""
_DJANGO = """
import django.conf
django.conf.settings.configure()
from django.contrib.auth.hashers import make_password as hash_password
"""
_FASTAPI_USERS = """
from fastapi_users.password import PasswordHelper
hash_password = PasswordHelper().hash
"""


def _by_python(scheme: str, interpreter: str, code: str) -> Hash:
    """`code` defines `hash_password`."""

    def command(seconds: int) -> Sequence[str]:
        return interpreter, "-c", code + _LOOP.format(seconds=seconds, password=PASSWORD)

    return Hash(scheme, command)


def _by_node(scheme: str, peer: str) -> Hash:
    """The peer's hashes.js."""
    return Hash(scheme, lambda seconds: ("node", str(PEERS / peer / "hashes.js"), str(seconds), PASSWORD))


OURS = _by_python("Argon2id, 19 MiB, 2 passes", sys.executable, _OURS)
DJANGO = _by_python("PBKDF2 with SHA-256, 1,000,000 rounds", python("django"), _DJANGO)
FASTAPI_USERS = _by_python("Argon2id, 64 MiB, 3 passes, 4 lanes", python("fastapi_users"), _FASTAPI_USERS)
BETTER_AUTH = _by_node("scrypt, N = 16,384, r = 16", "better_auth")
