"""Sealing secret keys with the key-encryption key: AES-256-GCM (NIST SP 800-38D); beside `jose` the only crypto user.

Sealed form: one version byte, a 12-byte random nonce, the ciphertext with its tag. The context is authenticated
with it, so that one sealed key cannot stand in another's row.
"""

import os
import stat
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keybearer.base64url import decode_base64url, encode_base64url
from keybearer.server.ports import KeyEncryptionError, Randomness

KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"


class AesGcmKeyEncryption:
    """`ports.KeyEncryption` under a key of 32 bytes."""

    def __init__(self, key: bytes, randomness: Randomness) -> None:
        self._aead = AESGCM(self._derive(key, b"keybearer sealing"))
        self._key = key
        self._randomness = randomness

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        nonce = self._randomness.bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._aead.encrypt(nonce, plaintext, context)

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        if sealed[:1] != _VERSION:
            raise KeyEncryptionError("A stored key is sealed in a form that this version does not know.")
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, ciphertext, context)
        except (InvalidTag, ValueError):
            raise KeyEncryptionError(
                "A stored key cannot be opened: the key-encryption key is not the one with which it was sealed."
            ) from None

    def derive(self, label: bytes) -> bytes:
        return self._derive(self._key, b"keybearer derived " + label)

    @staticmethod
    def _derive(key: bytes, info: bytes) -> bytes:
        """HKDF-SHA256 (RFC 5869); the key is random already, so there is no salt."""
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(key)


def read_key_file(path: Path) -> bytes:
    """The key of a file. Raises KeyEncryptionError when it is not there, not a key, or open to others."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyEncryptionError(f"The key-encryption key file {path} cannot be read: {error}.") from None
    if mode & 0o077:
        raise KeyEncryptionError(f"The key-encryption key file {path} is open to others: chmod 600 {path}")
    key = decode_base64url(text)
    if key is None or len(key) != KEY_BYTES:
        raise KeyEncryptionError(f"The file {path} does not hold a key-encryption key (43 characters of base64url).")
    return key


def ensure_key_file(path: Path, randomness: Randomness) -> bytes:
    """The key of a file, which is made (mode 0600) when it is not there; of two processes at once, one makes it."""
    if not path.exists():
        _make_key_file(path, encode_base64url(randomness.bytes(KEY_BYTES)))
    return read_key_file(path)


def _make_key_file(path: Path, text: str) -> None:
    """Write aside, then link into place: the file is whole when it appears, and the first one stays."""
    try:
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(aside, path)
        except FileExistsError:
            pass
        finally:
            Path(aside).unlink()
    except OSError as error:
        raise KeyEncryptionError(f"The key-encryption key file {path} cannot be made: {error}.") from None
