"""Sealing secret keys: another key, another context, another byte; and the file that holds the key."""

import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from keybearer.base64url import encode_base64url
from keybearer.server.adapters.key_encryption import KEY_BYTES, AesGcmKeyEncryption, ensure_key_file, read_key_file
from keybearer.server.adapters.randomness import SystemRandomness
from keybearer.server.ports import KeyEncryptionError
from tests.support.randomness import SeededRandomness

KEY = bytes(range(KEY_BYTES))
PLAINTEXT = b"the key of all keys"
CONTEXT = b"signing 7 kid"


@pytest.fixture
def encryption() -> AesGcmKeyEncryption:
    return AesGcmKeyEncryption(KEY, SeededRandomness())


def test_what_is_sealed_can_be_opened(encryption: AesGcmKeyEncryption) -> None:
    sealed = encryption.encrypt(PLAINTEXT, CONTEXT)
    assert PLAINTEXT not in sealed
    assert encryption.decrypt(sealed, CONTEXT) == PLAINTEXT
    assert AesGcmKeyEncryption(KEY, SystemRandomness()).decrypt(sealed, CONTEXT) == PLAINTEXT


def test_no_two_sealed_forms_are_equal(encryption: AesGcmKeyEncryption) -> None:
    assert len({encryption.encrypt(PLAINTEXT, CONTEXT) for _ in range(100)}) == 100


def test_another_key_opens_nothing(encryption: AesGcmKeyEncryption) -> None:
    sealed = encryption.encrypt(PLAINTEXT, CONTEXT)
    with pytest.raises(KeyEncryptionError, match="not the one with which it was sealed"):
        AesGcmKeyEncryption(bytes(KEY_BYTES), SystemRandomness()).decrypt(sealed, CONTEXT)


@pytest.mark.parametrize("context", [b"", b"signing 8 kid", CONTEXT + b" ", b"refresh_token 7 kid"])
def test_a_sealed_key_cannot_stand_in_another_row(encryption: AesGcmKeyEncryption, context: bytes) -> None:
    with pytest.raises(KeyEncryptionError):
        encryption.decrypt(encryption.encrypt(PLAINTEXT, CONTEXT), context)


def test_every_byte_counts(encryption: AesGcmKeyEncryption) -> None:
    sealed = encryption.encrypt(PLAINTEXT, CONTEXT)
    for index in range(len(sealed)):
        changed = bytearray(sealed)
        changed[index] ^= 1
        with pytest.raises(KeyEncryptionError):
            encryption.decrypt(bytes(changed), CONTEXT)
    for length in range(len(sealed)):
        with pytest.raises(KeyEncryptionError):
            encryption.decrypt(sealed[:length], CONTEXT)


def test_an_unknown_version_is_said(encryption: AesGcmKeyEncryption) -> None:
    sealed = encryption.encrypt(PLAINTEXT, CONTEXT)
    with pytest.raises(KeyEncryptionError, match="version"):
        encryption.decrypt(b"\x02" + sealed[1:], CONTEXT)


def test_derived_keys_differ_by_label_and_by_key(encryption: AesGcmKeyEncryption) -> None:
    other = AesGcmKeyEncryption(bytes(KEY_BYTES), SystemRandomness())
    derived = {encryption.derive(b"a"), encryption.derive(b"b"), other.derive(b"a"), KEY}
    assert len(derived) == 4
    assert {len(key) for key in derived} == {KEY_BYTES}
    assert AesGcmKeyEncryption(KEY, SystemRandomness()).derive(b"a") == encryption.derive(b"a")


# --- the file --------------------------------------------------------------------------------------------------------


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_file_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "keybearer.db.key"
    key = ensure_key_file(path, SystemRandomness())
    assert len(key) == KEY_BYTES
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == encode_base64url(key) + "\n"
    assert ensure_key_file(path, SystemRandomness()) == key == read_key_file(path)
    assert list(tmp_path.iterdir()) == [path], "nothing is left aside"


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ensure_key_file(tmp_path / "key", SystemRandomness())
    finally:
        os.umask(before)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o601])
def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "key", encode_base64url(KEY), mode)
    with pytest.raises(KeyEncryptionError, match="chmod 600") as caught:
        read_key_file(path)
    assert encode_base64url(KEY) not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_is_taken(tmp_path: Path, mode: int) -> None:
    assert read_key_file(write(tmp_path / "key", f"  {encode_base64url(KEY)}\n", mode)) == KEY


@pytest.mark.parametrize(
    "text", ["", "x", "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 43 + "=", "é" * 43, "A" * 21 + " A"]
)
def test_a_file_that_holds_no_key_is_refused_and_not_told(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "key", text)
    with pytest.raises(KeyEncryptionError) as caught:
        read_key_file(path)
    assert str(path) in str(caught.value)
    assert len(text) < 20 or text not in str(caught.value)
    with pytest.raises(KeyEncryptionError):
        ensure_key_file(path, SystemRandomness())
    assert path.read_text() == text, "a damaged file is never replaced: it may be restored"


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyEncryptionError, match=r"missing\.key cannot be read"):
        read_key_file(tmp_path / "missing.key")
    with pytest.raises(KeyEncryptionError, match="cannot be made"):
        ensure_key_file(tmp_path / "nowhere" / "key", SystemRandomness())


PROCESSES = 6


def _race(path: str, barrier: Barrier, keys: "multiprocessing.SimpleQueue[bytes]") -> None:
    barrier.wait(30)
    keys.put(ensure_key_file(Path(path), SystemRandomness()))


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    path = tmp_path / "key"
    barrier, keys = context.Barrier(PROCESSES), context.SimpleQueue()
    processes = [context.Process(target=_race, args=(str(path), barrier, keys)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    assert {keys.get() for _ in processes} == {read_key_file(path)}
    assert list(tmp_path.iterdir()) == [path]
