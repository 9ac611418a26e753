"""Every import contract holds, and catches a violation that is planted for it."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}

# (contract, file under src/keybearer that is made or extended, what is written into it)
PLANTS = [
    ("package-layers", "jose/__init__.py", "import keybearer.wire"),
    ("package-layers", "wire/__init__.py", "import keybearer.credentials"),
    ("package-layers", "guard/__init__.py", "import keybearer.server.domain.users"),
    ("package-layers", "client/__init__.py", "import keybearer.server.domain.users"),
    ("package-layers", "client/_core.py", "import keybearer.guard"),
    ("package-layers", "client/_core.py", "import keybearer.cli.places"),
    ("package-layers", "helpers.py", ""),
    ("server-layers", "server/domain/users.py", "import keybearer.server.flows"),
    ("server-layers", "server/http/__init__.py", "import keybearer.server.storage"),
    ("server-layers", "server/storage/__init__.py", "import keybearer.server.app"),
    ("server-layers", "server/services.py", ""),
    ("storage-knows-no-flows", "server/storage/__init__.py", "import keybearer.server.flows.refresh"),
    ("storage-knows-no-flows", "server/adapters/__init__.py", "import keybearer.server.flows.refresh"),
    ("backends-apart", "server/storage/sqlite.py", "import keybearer.server.storage.postgres"),
    ("backends-apart", "server/storage/postgres.py", "import keybearer.server.storage.sqlite"),
    ("settings-at-the-root", "server/http/__init__.py", "import keybearer.server.settings"),
    ("settings-at-the-root", "server/flows/__init__.py", "import keybearer.server.settings"),
    ("cryptography", "credentials/__init__.py", "import cryptography"),
    ("cryptography", "server/adapters/__init__.py", "from cryptography.hazmat.primitives import hashes"),
    ("base-install", "guard/__init__.py", "import uvicorn"),
    ("base-install", "credentials/__init__.py", "def late():\n    from sqlalchemy import text"),
    ("base-install", "guard/_core.py", "import starlette"),
    ("base-install", "guard/asgi.py", "import starlette"),
    ("base-install", "guard/flask.py", "import django"),
    ("base-install", "client/__init__.py", "import fastapi"),
    ("base-install", "client/_core.py", "def late():\n    import httpx"),
    ("base-install", "client/_requests.py", "import httpx2"),
    ("base-install", "client/_httpx.py", "import requests"),
    ("base-install", "client/stores/_file.py", "import keyring"),
    ("client-protocol", "client/_protocol.py", "import threading"),
    ("client-protocol", "client/_protocol.py", "import keybearer.client._core"),
    ("client-protocol", "client/_outcomes.py", "import keybearer.outgoing.line"),
    ("integrations-apart", "guard/fastapi.py", "import keybearer.guard.asgi"),
    ("integrations-apart", "guard/django.py", "import keybearer.guard.flask"),
    ("pure-core", "server/flows/__init__.py", "import sqlite3"),
    ("pure-core", "server/domain/users.py", "import keybearer.wire.documents"),
    ("pure-core", "server/ports.py", "import cryptography"),
    ("short-transactions", "server/storage/__init__.py", "import argon2"),
    ("no-cycles", "wire/__init__.py", "import keybearer.credentials.alphabet\n"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package and its contracts, free to be broken."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    return tmp_path


def lint(tree: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    for contract in contracts:
        command += ["--contract", contract]
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def plant(tree: Path, path: str, code: str) -> None:
    with (tree / "src" / "keybearer" / path).open("a") as file:
        file.write(f"\n{code}\n")


def test_the_contracts_hold(tree: Path) -> None:
    result = lint(tree)
    assert result.returncode == 0, result.stdout


def test_every_contract_has_a_plant() -> None:
    assert {contract for contract, _, _ in PLANTS} == set(CONTRACTS)


@pytest.mark.parametrize(("contract", "path", "code"), PLANTS)
def test_a_violation_is_caught(tree: Path, contract: str, path: str, code: str) -> None:
    if contract == "no-cycles":
        plant(tree, "credentials/__init__.py", "import keybearer.wire.problems")
    plant(tree, path, code)
    result = lint(tree, contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{CONTRACTS[contract]} BROKEN" in result.stdout
