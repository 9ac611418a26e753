"""The settings: what is refused and how it is said, which source goes before which, and that no secret is told."""

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from keybearer.server import settings
from keybearer.server.domain.sessions import SessionPolicy
from keybearer.server.settings import PREFIX, SETTINGS, Setting, Settings, SettingsError, is_loopback, load_settings

ROOT = Path(__file__).resolve().parents[2]
KEY = "A" * 43
SECRET = "geheim-9471"

VALUES: dict[str, str] = {
    "database": "postgresql://u:p@db/name",
    "host": "127.0.0.2",
    "base_path": "/api",
    "issuer": "https://auth.example.com",
    "audience": "everything",
    "signing_algorithm": "EdDSA",
    "key_encryption_key": KEY,
    "key_encryption_key_file": "/etc/keybearer.key",
    "trusted_proxies": "10.0.0.0/8, ::1",
    "log_format": "json",
    "log_level": "debug",
    "metrics_host": "127.0.0.3",
    "max_body_bytes": "2048",
}
"""A value of each setting that takes no small number, other than its default."""


def refusal(environ: Mapping[str, str], file: Path | None = None) -> str:
    """What a person reads."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, file)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "the cause may quote the value"
    return str(caught.value)


def toml(directory: Path, text: str) -> Path:
    file = directory / "keybearer.toml"
    file.write_text(text)
    return file


def test_nothing_is_required_on_loopback() -> None:
    settings = load_settings({})
    assert settings.issuer == settings.audience == "http://127.0.0.1:8100"
    assert settings.sqlite_path == Path("keybearer.db")
    assert settings.key_file_beside_database == Path("keybearer.db.key")
    assert settings.session_policy == SessionPolicy()
    assert settings.warnings() == []


def test_the_defaults_are_those_of_the_contract() -> None:
    policy = load_settings({}).session_policy
    assert (policy.access_token_lifetime, policy.refresh_retry_window) == (900, 60)
    assert (policy.idle_lifetime, policy.absolute_lifetime) == (30 * 86400, 90 * 86400)
    assert load_settings({}).max_staleness == 60
    assert load_settings({}).base_path == "/v1/api"


def test_an_issuer_on_ipv6_loopback_has_brackets() -> None:
    assert load_settings({"KEYBEARER_HOST": "::1"}).issuer == "http://[::1]:8100"


@pytest.mark.parametrize("host", ["0.0.0.1", "::", "192.0.2.1", "auth.example.com", "127.evil.example"])
def test_beyond_loopback_the_issuer_is_required(host: str) -> None:
    assert "KEYBEARER_ISSUER is required" in refusal({"KEYBEARER_HOST": host})
    environ = {"KEYBEARER_HOST": host, "KEYBEARER_ISSUER": "https://auth.example.com"}
    assert load_settings(environ).issuer == "https://auth.example.com"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("::", False), ("", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_an_unknown_variable_is_refused_by_name() -> None:
    message = refusal({"KEYBEARER_ISUER": SECRET})
    assert message.startswith("KEYBEARER_ISUER is not a setting.") and "docs/configuration.md" in message
    assert SECRET not in message


def test_an_unknown_line_of_the_file_is_refused_by_name(tmp_path: Path) -> None:
    file = toml(tmp_path, f'isuer = "{SECRET}"')
    message = refusal({}, file)
    assert message.startswith(f"isuer in {file} is not a setting.") and SECRET not in message


def test_variables_of_others_are_nothing_to_us() -> None:
    theirs = ("KEYBEARER_CLIENT_API_KEY", "KEYBEARER_TEST_POSTGRES", "KEYBEARER_TOUR_API_KEY")
    environ = {"PATH": "/bin", "keybearer_port": "x", **dict.fromkeys(theirs, "x")}
    assert load_settings(environ) == load_settings({})


def test_what_kubernetes_says_of_a_service_of_that_name_is_nothing_to_us() -> None:
    described = {
        "KEYBEARER_SERVICE_HOST": "10.0.0.1",
        "KEYBEARER_SERVICE_PORT": "8100",
        "KEYBEARER_SERVICE_PORT_HTTP": "8100",
        "KEYBEARER_PORT": "tcp://10.0.0.1:8100",
        "KEYBEARER_PORT_8100_TCP": "tcp://10.0.0.1:8100",
        "KEYBEARER_PORT_8100_TCP_PROTO": "tcp",
        "KEYBEARER_PORT_8100_TCP_PORT": "8100",
        "KEYBEARER_PORT_8100_TCP_ADDR": "10.0.0.1",
    }
    assert load_settings(described) == load_settings({})
    assert "is not a setting" in refusal({"KEYBEARER_SERVICE": "x"})


def test_a_misspelt_name_is_told_its_neighbour() -> None:
    assert "Is port meant?" in refusal({"KEYBEARER_PROT": "1"})
    assert "meant" not in refusal({"KEYBEARER_XYZZY": "1"})


def test_a_number_out_of_bounds_is_told_the_bounds() -> None:
    assert "10 to 86400" in refusal({"KEYBEARER_ACCESS_TOKEN_LIFETIME": "9"})
    assert "from 1 on" in refusal({"KEYBEARER_LIMIT_ADDRESS": "0"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "0"),
        ("port", "65536"),
        ("port", "http"),
        ("port", ""),
        ("port", " 80"),
        ("port", "+80"),
        ("port", "8_0"),
        ("port", "８０"),
        ("port", "9" * 5000),
        ("workers", "0"),
        ("access_token_lifetime", "9"),
        ("access_token_lifetime", "15m"),
        ("access_token_lifetime", "1e3"),
        ("refresh_retry_window", "-1"),
        ("database", "mysql://host/name"),
        ("database", "sqlite:///"),
        ("database", "postgresql://host"),
        ("database", "postgresql://host/"),
        ("base_path", "v1"),
        ("base_path", "/v1/"),
        ("base_path", "/v 1"),
        ("issuer", "auth.example.com"),
        ("issuer", "ftp://auth.example.com"),
        ("issuer", "https://auth.example.com/?a"),
        ("issuer", "https://auth.example.com/#a"),
        ("issuer", "https://"),
        ("audience", " "),
        ("audience", "a" * 257),
        ("signing_algorithm", "none"),
        ("signing_algorithm", "es256"),
        ("signing_algorithm", "HS256"),
        ("key_encryption_key", "A" * 42),
        ("key_encryption_key", "A" * 42 + "B"),
        ("key_encryption_key", "A" * 43 + "="),
        ("key_encryption_key_file", ""),
        ("trusted_proxies", "10.0.0.0/33"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("trusted_proxies", "proxy.example.com"),
        ("log_level", "INFO"),
        ("log_format", "text"),
        ("host", "a b"),
    ],
)
def test_a_malformed_value_is_refused_with_what_is_taken(name: str, text: str, tmp_path: Path) -> None:
    setting = next(setting for setting in SETTINGS if setting.name == name)
    variable = PREFIX + name.upper()
    message = refusal({variable: text})
    assert message.startswith(f"{variable} takes {setting.takes}")
    assert len(message) < 300
    file = toml(tmp_path, f"{name} = '{text}'")
    assert refusal({}, file).startswith(f"{name} in {file} takes {setting.takes}")


@pytest.mark.parametrize("setting", [one for one in SETTINGS if one.secret], ids=lambda setting: setting.name)
def test_a_malformed_secret_is_not_told(setting: Setting, tmp_path: Path) -> None:
    assert SECRET not in refusal({PREFIX + setting.name.upper(): SECRET})
    assert SECRET not in refusal({}, toml(tmp_path, f"{setting.name} = '{SECRET}'"))


def test_the_representation_tells_no_secret() -> None:
    environ = {"KEYBEARER_DATABASE": f"postgresql://u:{SECRET}@db/name", "KEYBEARER_KEY_ENCRYPTION_KEY": KEY}
    settings = load_settings(environ)
    assert settings.database.startswith("postgresql://")
    for text in (repr(settings), str(settings), f"{settings}"):
        assert SECRET not in text and KEY not in text and "\\x00" not in text


def test_all_secrets_are_hidden_fields() -> None:
    secret = {setting.name for setting in SETTINGS if setting.secret}
    assert secret == {"database", "key_encryption_key"}
    assert {field.name for field in fields(Settings) if not field.repr} == secret


def test_every_setting_does_something() -> None:
    """Each changes the settings, from the environment and in the same way from the file."""
    base = {"KEYBEARER_AUDIENCE": "base", "KEYBEARER_ISSUER": "https://base.example.com"}
    for setting in SETTINGS:
        text = VALUES.get(setting.name, "77")
        changed = load_settings(base | {PREFIX + setting.name.upper(): text})
        assert changed != load_settings(base), setting.name


def test_the_file_says_the_same_as_the_environment(tmp_path: Path) -> None:
    texts = {setting.name: VALUES.get(setting.name, "77") for setting in SETTINGS}
    lines = [f"{name} = {text if text.isdecimal() else repr(text)}" for name, text in texts.items()]
    file = toml(tmp_path, "\n".join(lines))
    assert load_settings({}, file) == load_settings({PREFIX + name.upper(): text for name, text in texts.items()})


def test_lists_of_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, 'trusted_proxies = ["10.0.0.0/8", "::1"]')
    assert [str(network) for network in load_settings({}, file).trusted_proxies] == ["10.0.0.0/8", "::1/128"]


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, "port = 1111\nworkers = 3")
    settings = load_settings({"KEYBEARER_PORT": "2222"}, file)
    assert (settings.port, settings.workers) == (2222, 3)


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, "port = 1111")
    assert load_settings({"KEYBEARER_CONFIG": str(file)}).port == 1111
    assert load_settings({"KEYBEARER_CONFIG": ""}).port == 8100
    (tmp_path / "other").mkdir()
    other = toml(tmp_path / "other", "port = 3333")
    assert load_settings({"KEYBEARER_CONFIG": str(file)}, other).port == 3333


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "cannot be read" in refusal({"KEYBEARER_CONFIG": str(tmp_path / "missing.toml")})
    assert "cannot be read" in refusal({"KEYBEARER_CONFIG": str(tmp_path)})
    assert "is not TOML" in refusal({}, toml(tmp_path, "port: 1"))
    (tmp_path / "latin.toml").write_bytes(b'audience = "\xe9"')
    assert "is not TOML" in refusal({}, tmp_path / "latin.toml")


def test_hash_threads_are_divided_among_the_workers() -> None:
    processors = len(os.sched_getaffinity(0))
    assert load_settings({}).hash_threads == processors
    assert load_settings({"KEYBEARER_WORKERS": "256"}).hash_threads == max(1, processors // 256)
    assert load_settings({"KEYBEARER_WORKERS": "9", "KEYBEARER_HASH_THREADS": "5"}).hash_threads == 5


@pytest.mark.parametrize(("workers", "threads"), [(1, 7), (2, 3), (3, 2), (4, 1), (8, 1)])
def test_in_a_flood_a_processor_is_left_without_hashes(
    monkeypatch: pytest.MonkeyPatch, workers: int, threads: int
) -> None:
    monkeypatch.setattr(settings, "usable_processors", lambda: 8)
    assert load_settings({"KEYBEARER_WORKERS": str(workers)}).hash_threads_in_a_flood == threads


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"KEYBEARER_REFRESH_RETRY_WINDOW": "0"}, "concurrent refreshes"),
        ({"KEYBEARER_REFRESH_RETRY_WINDOW": "451"}, "more than half"),
        ({"KEYBEARER_ACCESS_TOKEN_LIFETIME": "119"}, "more than half"),
        ({"KEYBEARER_SESSION_IDLE_LIFETIME": "8000000"}, "KEYBEARER_SESSION_IDLE_LIFETIME is longer"),
        ({"KEYBEARER_ISSUER": "http://auth.example.com"}, "plain http"),
        ({"KEYBEARER_KEY_PUBLISH_SECONDS": "300"}, "caches keep the keys"),
        ({"KEYBEARER_TRUSTED_PROXIES": "10.0.0.0/8, ::/0"}, "everybody"),
    ],
)
def test_what_may_not_be_meant_is_warned_of(environ: dict[str, str], said: str) -> None:
    [warning] = load_settings(environ).warnings()
    assert said in warning


@pytest.mark.parametrize(
    "environ",
    [
        {"KEYBEARER_REFRESH_RETRY_WINDOW": "450"},
        {"KEYBEARER_ACCESS_TOKEN_LIFETIME": "120"},
        {"KEYBEARER_KEY_PUBLISH_SECONDS": "301"},
        {"KEYBEARER_TRUSTED_PROXIES": "10.0.0.0/8"},
        {"KEYBEARER_ISSUER": "http://localhost:9000"},
        {"KEYBEARER_ISSUER": "http://[::1]:9000"},
    ],
)
def test_what_is_right_is_not_warned_of(environ: dict[str, str]) -> None:
    assert load_settings(environ).warnings() == []


def test_every_setting_is_documented() -> None:
    lines = (ROOT / "docs" / "configuration.md").read_text().splitlines()
    for setting in SETTINGS:
        [line] = [line for line in lines if line.startswith(f"| `{PREFIX}{setting.name.upper()}` |")]
        assert setting.takes in line and setting.help in line
        assert setting.help.endswith(".")
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        load_settings({}).port = 1  # type: ignore[misc]
