"""What `pip install keybearer` brings: the wheel's contents, and a base install that needs no library of the server."""

import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE_LIBRARIES = ["cryptography", "cffi", "pycparser", "msgspec"]
"""The base dependencies, with what they need themselves."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `make dist` builds it, with what is installed here."""
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [path] = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def base_install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the base dependencies, as an installation without extras has them."""
    target = tmp_path_factory.mktemp("site-packages")
    zipfile.ZipFile(wheel).extractall(target)
    for library in BASE_LIBRARIES:
        distribution = metadata.distribution(library)
        for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (target / name).symlink_to(Path(str(distribution.locate_file(name))))
    return target


def run(base_install: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code that sees the standard library and the base install, nothing else."""
    prologue = f"import sys; sys.path.append({str(base_install)!r}); sys.argv = ['keybearer']\n"
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", prologue + code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_wheel_has_the_whole_package_and_nothing_else(wheel: Path) -> None:
    source = ROOT / "src"
    expected = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and not any(part == "__pycache__" or part.endswith("_cache") for part in path.parts)
    }
    names = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in names if ".dist-info/" not in name}
    assert packed == expected
    assert "keybearer/py.typed" in packed
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_has_the_data_of_the_server(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.startswith("keybearer/server/storage/migrations/") for name in names)
    assert any(name.startswith("keybearer/server/data/") for name in names)


def test_the_base_install_needs_two_libraries(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    described = Parser().parsestr(archive.read(name).decode())
    needed = [text for text in described.get_all("Requires-Dist") or [] if "extra ==" not in text]
    assert [text.partition(">")[0] for text in needed] == ["cryptography", "msgspec"]
    assert described["License-Expression"] == "Apache-2.0"


NEEDS_MORE = (
    "keybearer.cli",
    "keybearer.server",
    "keybearer.__main__",
    "keybearer.guard.django",
    "keybearer.guard.fastapi",
    "keybearer.guard.flask",
)
"""What is for the command line and the server, and for who has the framework that its name says."""


def test_everything_else_imports_with_the_base_install(wheel: Path, base_install: Path) -> None:
    names = [name.removesuffix(".py") for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")]
    modules = [name.removesuffix("/__init__").replace("/", ".") for name in names]
    modules = [name for name in modules if not name.startswith(NEEDS_MORE)]
    assert {"keybearer.errors", "keybearer.guard._core", "keybearer.guard.asgi"} <= set(modules)
    imports = "".join(f"import {module}\n" for module in modules)
    result = run(base_install, imports + "print([name for name in sys.modules if 'keybearer.server' in name])")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[]\n"


def test_the_command_names_the_extra_that_is_missing(base_install: Path) -> None:
    result = run(base_install, "from keybearer.__main__ import main; sys.exit(main())")
    assert result.returncode != 0
    assert "keybearer[server]" in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
