"""The documentation points at what exists: links, files, settings, error codes."""

import re
from pathlib import Path

import pytest

from keybearer.errors import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]+)?\)")
FILE = re.compile(
    r"`((?:[a-z_]+/)*[a-z_]+\.py|[a-z-]+\.ts|(?:tests|tools|requirements|server|src)/[a-z_/]+(?:\.[a-z]+)?)`"
)
SETTING = re.compile(r"\bKEYBEARER_[A-Z_]+\b")
CODE_FAMILY = re.compile(r"`((?:access_token|refresh_token|api_key)_[a-z_]+)`")
BASES = [
    ROOT,
    ROOT / "src",
    ROOT / "src/keybearer",
    ROOT / "src/keybearer/client",
    ROOT / "src/keybearer/server",
    ROOT / "src/keybearer/server/storage",
    ROOT / "packages/keybearer-js/src",
]


def heading_anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        path = page.parent / target
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            assert anchor in heading_anchors(path), target + anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    missing = [name for name in FILE.findall(page.read_text()) if not any((base / name).exists() for base in BASES)]
    assert missing == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "compose.yaml"], ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_are_named_exist(page: Path) -> None:
    named = set(SETTING.findall(page.read_text()))
    assert not named or named <= set(SETTING.findall((ROOT / "docs" / "configuration.md").read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_error_codes_that_are_named_exist(page: Path) -> None:
    names = set(CODE_FAMILY.findall(page.read_text()))
    assert {name for name in names if name not in CATALOGUE} == set()
