"""The text of passwords, which new ones are taken, and the bounds of stored hashes."""

import contextlib
import unicodedata

import pytest
from argon2 import low_level
from hypothesis import given
from hypothesis import strategies as st

from keybearer.server.adapters.common_passwords import CommonPasswords
from keybearer.server.adapters.passwords import argon2_hashes, schemes
from keybearer.server.adapters.passwords.schemes import Fault, UnsupportedPasswordHash
from keybearer.server.domain.passwords import (
    MAX_PASSWORD_BYTES,
    PasswordRefused,
    check_new_password,
    prepare_password,
)
from keybearer.wire import documents

NAMES = ("jane.doe@example.com", "+41446681800", "Jane", "Doe", "Jane Doe")


def check(text: str) -> None:
    check_new_password(text, names=NAMES, common=CommonPasswords())


# --- text ------------------------------------------------------------------------------------------------------------


def test_the_wire_has_the_same_bound() -> None:
    assert documents.MAX_PASSWORD_BYTES == MAX_PASSWORD_BYTES


def test_two_spellings_of_one_text_are_one_password() -> None:
    assert prepare_password("cafe\N{COMBINING ACUTE ACCENT} noir") == prepare_password("caf\u00e9 noir")


def test_what_only_looks_alike_stays_different() -> None:
    assert prepare_password("\N{LATIN SMALL LIGATURE FI}sh") != prepare_password("fish")
    assert prepare_password("Fish") != prepare_password("fish")
    assert prepare_password(" fish ") != prepare_password("fish")
    assert prepare_password("a\x00b") == b"a\x00b"


@pytest.mark.parametrize("text", ["x" * 1024, "\u00e9" * 512, "e\u0301" * 512, "\u01d6" * 512, "u\u0308\u0304" * 512])
def test_up_to_1024_bytes_are_taken_whole(text: str) -> None:
    assert len(prepare_password(text)) == 1024


@pytest.mark.parametrize("text", ["x" * 1025, "\u00e9" * 513, "\u0958" * 171 * 2, "e\u0301" * 10_000_000])
def test_more_is_refused(text: str) -> None:
    """The third grows by normalisation (a composition exclusion), the fourth is not even normalised."""
    with pytest.raises(PasswordRefused, match="longer than 1024 bytes"):
        prepare_password(text)


@pytest.mark.parametrize("text", ["\ud800", "password\udfff", "\udfff\ud800"])
def test_half_characters_are_refused(text: str) -> None:
    with pytest.raises(PasswordRefused, match="lone surrogate"):
        prepare_password(text)


@given(st.text(max_size=4200))
def test_any_text_is_prepared_or_refused(text: str) -> None:
    try:
        prepared = prepare_password(text)
    except PasswordRefused:
        assert len(text) > MAX_PASSWORD_BYTES // 12
    else:
        assert prepared == prepare_password(prepared.decode("utf-8"))
        assert prepared == prepare_password(unicodedata.normalize("NFD", text))


# --- new passwords ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "correct horse",
        "aaaabbbc",
        "пароль но не из списка",
        "\N{HORSE}" * 8,
        "        ",
        "jane doe is my name",
        "!?%&/()=",
    ],
)
def test_long_enough_passwords_are_taken_without_rules_of_composition(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "shorter than 8 characters"),
        ("seven 7", "shorter than 8 characters"),
        ("e\u0301" * 7, "shorter than 8 characters"),
        ("x" * 1025, "longer than 1024 bytes"),
        ("nul\x00nul\x00nul", "NUL"),
        ("half \ud800 character", "lone surrogate"),
        ("password", "most common"),
        ("PassWord", "most common"),
        ("jane.doe@example.com", "own name"),
        ("Jane.Doe@Example.com", "own name"),
        ("Jane.Doe", "own name"),
        ("JANE DOE", "own name"),
        ("jane-doe!", "own name"),
        ("+41446681800", "own name"),
        ("41 44 668 18 00", "own name"),
    ],
)
def test_bad_new_passwords_are_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(PasswordRefused, match=reason):
        check(text)


def test_a_password_of_symbols_is_not_taken_for_an_empty_name() -> None:
    check_new_password("!?%&/()=", names=("", "@"), common=())


def test_the_list_of_common_passwords_is_whole() -> None:
    common = CommonPasswords()
    assert "password" in common
    assert "12345678" in common
    assert "correct horse battery staple" not in common
    assert 8 not in common


# --- stored hashes ---------------------------------------------------------------------------------------------------

SALT, KEY = "c29tZXNhbHRzb21lc2FsdA", "Yq0ha5m4mZ7CzWMGqFlRxQ5l1Bv3gZ5QqyJz3c2Qx0I"
B22, B31 = "abcdefghijklmnopqrstuu", "sjHI0zQHpOe3SFDK1IriYv6N79Gzr32"


def argon2(costs: str, salt: str = SALT, key: str = KEY) -> str:
    return f"$argon2id$v=19${costs}${salt}${key}"


@pytest.mark.parametrize(
    "text",
    [
        argon2("m=262145,t=1,p=1"),
        argon2("m=64,t=11,p=1"),
        argon2("m=256,t=1,p=17"),
        argon2("m=9999999999999999999,t=1,p=1"),
        f"$2b$16${B22}{B31}",
        f"$2b$31${B22}{B31}",
        f"bcrypt_sha256$$2b$16${B22}{B31}",
        f"$bcrypt-sha256$v=2,t=2b,r=16${B22}${B31}",
        f"$scrypt$ln=19,r=8,p=1${SALT}${KEY}",
        f"$scrypt$ln=18,r=8,p=3${SALT}${KEY}",
        f"$scrypt$ln=25,r=8,p=1${SALT}${KEY}",
        f"$scrypt$ln=4294967296,r=8,p=1${SALT}${KEY}",
        f"scrypt$524288$salt$8$1${KEY}=",
        f"$pbkdf2-sha256$5000001${SALT}${KEY}",
        f"$pbkdf2-sha256$2500001${SALT}${'Yq0h' * 16}",
        f"$pbkdf2-sha512$i=9999999999,l=32${SALT}${KEY}",
        f"pbkdf2_sha256$5000001$salt${KEY}=",
        "grub.pbkdf2.sha512.5000001." + "AB" * 64 + "." + "CD" * 64,
        "AQAAAAIATEtBAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
    ],
)
def test_hashes_that_cost_too_much_are_refused_and_never_computed(text: str) -> None:
    with pytest.raises(UnsupportedPasswordHash) as refused:
        schemes.check_importable(text)
    assert refused.value.fault == Fault.TOO_DEAR
    with pytest.raises(UnsupportedPasswordHash):
        schemes.verify(text, b"password")


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        (argon2("m=262144,t=10,p=16"), "argon2id"),
        (f"$2y$15${B22}{B31}", "bcrypt"),
        (f"$scrypt$ln=18,r=8,p=2${SALT}${KEY}", "scrypt"),
        (f"$pbkdf2-sha512$5000000${SALT}${KEY}", "pbkdf2-sha512"),
    ],
)
def test_the_dearest_that_are_taken(text: str, scheme: str) -> None:
    assert schemes.check_importable(text) == scheme


@pytest.mark.parametrize(
    "text",
    [
        argon2("m=7,t=1,p=1"),
        argon2("m=64,t=0,p=1"),
        argon2("m=64,t=1,p=0"),
        argon2("m=064,t=1,p=1"),
        argon2("m=64,t=1,p=1", key="YWJj"),
        argon2("m=64,t=1,p=1", salt="YWJj"),
        argon2("m=64,t=1,p=1", key="Yq0" * 60),
        argon2("m=64,t=1,p=1", salt="c29t" * 60),
        argon2("m=64,t=1,p=1", key=KEY[:-1] + "J"),
        argon2("m=64,t=1,p=1") + "\n",
        argon2("m=\u0661\u0662,t=1,p=1"),
        f"$2b$03${B22}{B31}",
        f"$2b$32${B22}{B31}",
        f"$2b$12${B22}{B31}.",
        f"$2b$12${B22}{B31[:-1]}\u00e9",
        f"bcrypt$$2b$12${B22}",
        f"$bcrypt-sha256$2b,05${B22}${B31}",
        f"$scrypt$ln=16,r=1,p=1${SALT}${KEY}",
        f"$scrypt$ln=0,r=1,p=1${SALT}${KEY}",
        f"$scrypt$ln=16385,r=8,p=1${SALT}${KEY}",
        f"scrypt$1000$salt$8$1${KEY}=",
        f"$pbkdf2-sha256$0${SALT}${KEY}",
        f"$pbkdf2-sha256$i=1000,l=33${SALT}${KEY}",
        f"$pbkdf2-sha256$1000${SALT}$",
        f"$pbkdf2-sha256$1000${SALT}$YWJj",
        f"pbkdf2_sha256$1000$s\u00e4lt${KEY}=",
        "AQAAAAIAAAAy",
        "AQAAAAIAAAAy=",
        "AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4A=",
        "AQAAAAIAAAAy/////+Mwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw",
        "$argon2id$" + "x" * 10_000_000,
    ],
)
def test_malformed_hashes(text: str) -> None:
    with pytest.raises(UnsupportedPasswordHash) as refused:
        schemes.verify(text, b"password")
    assert refused.value.fault == Fault.MALFORMED


@given(
    st.sampled_from(sorted(schemes._PARSERS)), st.text(alphabet="$,=.+/0123456789mtpvrlnabcAZ\u00e9\x00", max_size=80)
)
def test_no_text_raises_anything_else(prefix: str, rest: str) -> None:
    """Parsing alone: what is in bounds costs up to 2 s."""
    for text in (prefix + rest, rest):
        with contextlib.suppress(UnsupportedPasswordHash):
            assert schemes.check_importable(text)


def test_an_argon2_of_an_unknown_version_is_foreign() -> None:
    with pytest.raises(UnsupportedPasswordHash) as refused:
        schemes.check_importable(argon2("m=64,t=1,p=1").replace("v=19", "v=20"))
    assert refused.value.fault == Fault.FOREIGN


def test_a_new_hash_is_current_and_verifies() -> None:
    hashed = schemes.hash_password(b"correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert schemes.verify(hashed, b"correct horse")
    assert not schemes.verify(hashed, b"correct horsf")
    assert not schemes.needs_rehash(hashed)
    assert schemes.hash_password(b"correct horse") != hashed


@pytest.mark.parametrize(
    "text",
    [
        argon2("m=19456,t=3,p=1"),
        argon2("m=19457,t=2,p=1"),
        argon2("m=19456,t=2,p=2"),
        argon2("m=19456,t=2,p=1", key=KEY[:22]),
        argon2("m=19456,t=2,p=1").replace("$v=19", ""),
        argon2("m=19456,t=2,p=1").replace("argon2id", "argon2i"),
        f"$2b$12${B22}{B31}",
    ],
)
def test_anything_else_is_to_be_hashed_anew(text: str) -> None:
    assert schemes.needs_rehash(text)


def test_bcrypt_knows_72_bytes_of_a_password() -> None:
    """As every bcrypt does; other schemes know all of them."""
    bcrypt_hash = f"$2b$04${B22}bzadhGtS2zEF.gu0yd0opP6cVzb.e0i"
    long = b"x" * 72
    assert all(schemes.verify(bcrypt_hash, password) for password in (long, long + b"y", long + b"z" * 900))
    assert not schemes.verify(bcrypt_hash, long[1:])
    current = schemes.hash_password(long + b"y")
    assert schemes.verify(current, long + b"y")
    assert not schemes.verify(current, long + b"z")


def test_bcrypt_takes_nul_bytes_and_rubbish_in_the_salt() -> None:
    with_nul = "$2b$04$abcdefghijklmnopqrstuu"
    assert schemes.verify(with_nul + "e0WNx6CG5EOBIFrLmvaE54PFnf9blM6", b"a\x00c")
    assert not schemes.verify(with_nul + "e0WNx6CG5EOBIFrLmvaE54PFnf9blM6", b"a")
    assert schemes.verify("$2b$04$abcdefghijklmnopqrstuve0WNx6CG5EOBIFrLmvaE54PFnf9blM6", b"a\x00c")


@pytest.mark.parametrize("password", [b"", b"correct horse", b"nul \0 inside", "c\u00e9".encode() * 500])
@pytest.mark.parametrize(("memory", "passes", "key_length"), [(8, 1, 16), (19_456, 2, 32), (65_536, 3, 64)])
def test_both_libraries_for_argon2_compute_the_same(
    password: bytes, memory: int, passes: int, key_length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = {"time_cost": passes, "memory_cost": memory, "parallelism": 1, "hash_len": key_length}
    text = low_level.hash_secret(password, bytes(range(16)), type=low_level.Type.ID, **costs).decode()
    monkeypatch.setattr(argon2_hashes, "hash_secret_raw", None)  # libsodium alone
    assert schemes.verify(text, password)
    assert not schemes.verify(text, password + b"x")
