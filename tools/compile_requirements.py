"""Compile requirements/*.txt: every package that is installed, at one version, with the hashes of its files.

    python tools/compile_requirements.py            compile what has changed, keeping the versions that still fit
    python tools/compile_requirements.py --upgrade  take the newest versions
    python tools/compile_requirements.py --check    say whether the files belong to their inputs; needs no network

runtime.txt has what the service runs with, build.txt what builds the package, dev.txt all that and the tools. The hash
of a file's inputs stands in its first line. No file names the index that it was compiled from: an installation uses its
own.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = "3.11"
PROJECT = "pyproject.toml"
INPUTS = {
    "runtime": (PROJECT,),
    "build": ("requirements/build.in",),
    "dev": (PROJECT, "requirements/dev.in"),
}
"""What each file is compiled from; dev.in holds it to the versions of the other two. Of the project, with `server`."""


def header(name: str) -> str:
    """The first line of requirements/<name>.txt for the inputs as they stand."""
    digest = hashlib.sha256("\0".join(map(wanted, INPUTS[name])).encode()).hexdigest()[:16]
    return f"# Compiled by `make requirements`; do not edit. Inputs: {digest}"


def wanted(path: str) -> str:
    """What an input asks for: of the project only what it depends on, so that other changes to it do not count."""
    text = (ROOT / path).read_text()
    if path != PROJECT:
        return text
    project = tomllib.loads(text)["project"]
    return json.dumps([project["requires-python"], project["dependencies"], project["optional-dependencies"]["server"]])


def find_uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        sys.exit("uv is missing: run `make setup` first, or `pip install uv`")
    return uv


def compile_one(name: str, *, upgrade: bool) -> None:
    """Write requirements/<name>.txt; versions that it pins already are kept unless `upgrade`."""
    output = ROOT / "requirements" / f"{name}.txt"
    command = [find_uv(), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--python-version", OLDEST_PYTHON]
    command += ["--upgrade"] if upgrade else []
    command += ["--extra", "server"] if PROJECT in INPUTS[name] else []
    command += [*INPUTS[name], "--output-file", str(output.relative_to(ROOT))]
    subprocess.run(command, cwd=ROOT, check=True)
    output.write_text(header(name) + "\n" + output.read_text())


def stale() -> list[str]:
    """The files that do not belong to their inputs."""
    return [
        f"requirements/{name}.txt"
        for name in INPUTS
        if not (path := ROOT / "requirements" / f"{name}.txt").exists()
        or path.read_text().partition("\n")[0] != header(name)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compile requirements/*.txt.")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--upgrade", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        for name in INPUTS:
            compile_one(name, upgrade=arguments.upgrade)
    elif outdated := stale():
        sys.exit(f"{', '.join(outdated)}: not compiled from the inputs as they stand; run `make requirements`")


if __name__ == "__main__":
    main()
