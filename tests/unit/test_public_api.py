import subprocess
import sys
import tomllib
from pathlib import Path

import keybearer

PUBLIC = [
    "AccessToken",
    "AccessTokenCorrupted",
    "AccessTokenError",
    "AccessTokenExpired",
    "AccessTokenInvalid",
    "AccessTokenMissing",
    "AccessTokenRevoked",
    "AccessTokenVerifier",
    "AccessTokenWrongApplication",
    "AsyncClient",
    "Client",
    "KeySet",
    "KeybearerError",
    "__version__",
]

EVERY_NAME = "from keybearer import *"

SERVER_LIBRARIES = {
    "alembic",
    "argon2",
    "asyncpg",
    "bcrypt",
    "fastapi",
    "httptools",
    "httpx",
    "httpx2",
    "prometheus_client",
    "requests",
    "rich",
    "sqlalchemy",
    "sqlite3",
    "starlette",
    "structlog",
    "typer",
    "uvicorn",
    "uvloop",
}


def test_the_public_list() -> None:
    """A change of this list is a change of the public interface: CHANGELOG.md and the documentation follow it."""
    assert keybearer.__all__ == PUBLIC


def test_every_name_is_there() -> None:
    for name in PUBLIC:
        assert hasattr(keybearer, name)


def test_no_other_name_looks_public() -> None:
    others = {name for name in vars(keybearer) if not name.startswith("_")} - set(PUBLIC)
    modules = {name for name in others if f"keybearer.{name}" in sys.modules}
    assert others == modules


def test_every_access_token_error_is_public() -> None:
    errors = {error.__name__ for error in keybearer.AccessTokenError.__subclasses__()}
    assert errors <= set(PUBLIC)


def test_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert keybearer.__version__ == project["version"]


def modules_after(program: str) -> set[str]:
    """The modules that a new interpreter has loaded once it has run `program`."""
    program = f"import sys; {program}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_needs_no_server_library() -> None:
    absent = f"sys.modules.update(dict.fromkeys({sorted(SERVER_LIBRARIES)!r}))"
    assert "keybearer" in modules_after(f"{absent}; {EVERY_NAME}")


def test_importing_loads_no_server_library() -> None:
    loaded = {name.partition(".")[0] for name in modules_after(EVERY_NAME)}
    # `cryptography` loads bcrypt by itself, where it is installed.
    assert loaded & SERVER_LIBRARIES <= {"bcrypt"}


def test_importing_loads_nothing_else_of_the_package() -> None:
    packages = {name.split(".")[1] for name in modules_after("import keybearer") if name.startswith("keybearer.")}
    assert packages == {"errors"}


def test_the_names_load_nothing_of_the_server() -> None:
    packages = {name.split(".")[1] for name in modules_after(EVERY_NAME) if name.startswith("keybearer.")}
    assert packages == {"base64url", "client", "credentials", "errors", "jose", "outgoing", "strict_json"}
