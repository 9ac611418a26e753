"""The compiled requirements: complete, with hashes, and free of any index."""

import re
import tomllib
from pathlib import Path

import pytest

import check_rules
import compile_requirements

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?P<marker> ;.*)? \\$")
FILES = ["runtime", "build", "dev"]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return {match["name"]: match["version"] for line in lines if (match := PIN.match(line))}


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_one_version_with_hashes(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(entries) == len(pins(name)) > 0
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", ["runtime", "dev"])
def test_every_dependency_is_pinned(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.split(r"[^a-z0-9-]", text, maxsplit=1)[0]
        for text in project["dependencies"] + project["optional-dependencies"]["server"]
    }
    assert wanted - pins(name).keys() == set()


def test_development_runs_with_the_versions_of_production() -> None:
    assert pins("dev") | pins("runtime") | pins("build") == pins("dev")


def test_the_build_backend_is_the_pinned_one() -> None:
    [backend] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert backend in (ROOT / "requirements" / "build.in").read_text()


def test_the_files_belong_to_their_inputs() -> None:
    assert compile_requirements.stale() == []


def test_no_file_of_the_repository_names_a_package_registry() -> None:
    assert [str(finding) for finding in check_rules.check_tree(ROOT) if finding.rule == "registry"] == []
