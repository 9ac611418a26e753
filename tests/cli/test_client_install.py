"""`pip install 'keybearer[cli]'`: the client's commands with nothing of the server, and what is said of the rest."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.cli.commands import WITHIN, Ended
from tests.stage.client import running_stage

ROOT = Path(__file__).resolve().parents[2]
OF_THE_SERVER = {"sqlalchemy", "alembic", "uvicorn", "structlog", "prometheus-client", "argon2-cffi", "bcrypt"}


def needed_by(extra: str) -> set[str]:
    """The distributions that an installation with this extra brings."""
    found: set[str] = set()
    open_ = [("keybearer", extra)]
    while open_:
        name, extra = open_.pop()
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            needed = canonicalize_name(requirement.name)
            if needed not in found:
                found.add(needed)
                open_.append((needed, next(iter(requirement.extras), "")))
    return found


def install(target: Path, extra: str) -> Path:
    """A directory with the package and what the extra brings, and nothing else."""
    (target / "keybearer").symlink_to(ROOT / "src" / "keybearer")
    for name in needed_by(extra):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (target / top).symlink_to(Path(str(distribution.locate_file(top))))
    return target


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("cli"), "cli")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("base"), "")


def run(installed: Path, *words: str, home: Path = ROOT, stdin: str = "") -> Ended:
    """As its script runs it: it sees the standard library and this installation."""
    code = f"import sys; sys.path.append({str(installed)!r}); from keybearer.__main__ import main; main()"
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", code, *words]
    done = subprocess.run(
        command,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "COLUMNS": "200", "NO_COLOR": "1"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_the_extra_brings_no_library_of_the_server(installed: Path) -> None:
    assert needed_by("cli") >= {"typer", "rich", "httpx2"}
    assert needed_by("cli") & OF_THE_SERVER == set()


def test_the_client_works_by_itself(installed: Path, tmp_path: Path) -> None:
    key_file = tmp_path / "api-key"
    with running_stage() as stage:
        user = stage.users[0]
        key_file.write_text(stage.publishable_key)
        words = ("--url", stage.base_url, "--origin", stage.api, "--api-key-file", str(key_file))
        login = (*words, "--username", user.username, "--password-stdin", "--json")
        document = run(installed, "login", *login, home=tmp_path, stdin=user.password + "\n").json()
        assert document["user_id"] == user.id
        assert run(installed, "curl", f"{stage.api}/notes", home=tmp_path).json() == []
        assert run(installed, "token", "--info", "--json", home=tmp_path).json()["user_id"] == user.id
        assert json.loads(run(installed, "logout", "--json", home=tmp_path).out)["session"] == "revoked"


def test_help_has_the_client_only(installed: Path) -> None:
    shown = run(installed, "--help").out
    for name in ("login", "logout", "whoami", "token", "curl"):
        assert f"│ {name} " in shown
    assert "Service" not in shown and "migrate" not in shown
    assert "The commands of the service come with keybearer[server]." in shown


@pytest.mark.parametrize("words", [("serve",), ("users", "list"), ("logni",)])
def test_other_commands_are_said_to_need_more(installed: Path, words: tuple[str, ...]) -> None:
    ended = run(installed, *words)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        f"keybearer: There is no command {words[0]!r} here. Those of the service need more: "
        "pip install 'keybearer[server]'.\n"
    )


@pytest.mark.parametrize("words", [(), ("--help",), ("login",), ("curl", "https://api.example.com"), ("serve",)])
def test_the_base_install_names_both_extras(base: Path, words: tuple[str, ...]) -> None:
    ended = run(base, *words)
    assert (ended.status, ended.out) == (2, "")
    assert "pip install 'keybearer[cli]'" in ended.err and "'keybearer[server]'" in ended.err
    assert "Traceback" not in ended.err


def test_with_the_server_both_stand_in_one_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "keybearer", "--help"],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    client, service = done.stdout.index("─ Client ─"), done.stdout.index("─ Service ─")
    assert client < done.stdout.index("│ curl ") < service < done.stdout.index("│ serve ")


def loaded_by(*words: str) -> set[str]:
    """What a command has imported in the end."""
    code = (
        f"import sys; sys.argv[1:] = {list(words)!r}\n"
        "from keybearer.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_client_loads_nothing_of_the_server() -> None:
    """A script may ask for a token often."""
    loaded = loaded_by("token", "--profile", "none")
    assert "keybearer.client" in loaded
    assert not {name for name in loaded if name.startswith(("keybearer.server.app", "sqlalchemy", "uvicorn", "httpx"))}


def test_the_service_loads_nothing_of_other_commands() -> None:
    """It would keep that for as long as it runs."""
    loaded = loaded_by("serve", "--help")
    assert "keybearer.server.app" in loaded
    assert not {name for name in loaded if name.startswith(("keybearer.client", "sqlalchemy", "asyncpg", "httpx"))}
