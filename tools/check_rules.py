"""The checks of our own that no linter has. Prints every finding, and exits with 1 if there is one (`make check`).

    clock      the clock and the random generator are read in the adapters only, and passed from there
    compare    secrets are never compared with == (it answers sooner the sooner they differ): hmac.compare_digest
    size       functions of more than 40 lines, files of more than 400, more than 6 parameters
    registry   no file names a package registry: installations use the one that the machine is set up for

An exception stands in EXCEPTIONS with its reason; one that is not needed any more is a finding too.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FUNCTION_LINES = 40
MAX_FILE_LINES = 400
MAX_PARAMETERS = 6
MAX_FILE_BYTES = 2_000_000
"""Larger files are not searched for registries."""

_ACCESS_TOKEN = "src/keybearer/credentials/access_token.py"

_CLIENT = "src/keybearer/client/_surroundings.py"

EXCEPTIONS: dict[tuple[str, str, str], str] = {
    (
        "clock",
        _CLIENT,
        "time.time",
    ): "a client has no adapters; this module is where its clock and randomness come from",
    ("clock", _CLIENT, "os.urandom"): "as its clock",
    ("size", "src/keybearer/cli/curl.py", "curl"): "a command has a parameter for each option",
    ("size", "src/keybearer/cli/login.py", "login"): "a command has a parameter for each option",
    ("size", "src/keybearer/guard/_guard.py", "Guard.__init__"): "one keyword an option, each with a safe default",
    ("clock", _ACCESS_TOKEN, "time.time"): "the default of `now`, for services that verify; the server passes its own",
    ("size", _ACCESS_TOKEN, "issue_access_token"): "one keyword a claim, which a caller cannot mix up",
    ("size", "src/keybearer/server/http/edge.py", "Edge.__init__"): "the edge is put together in one place, app.py",
    (
        "clock",
        "src/keybearer/guard/_refusal.py",
        "secrets.token_hex",
    ): "ids of refused requests: a guard has no adapters",
}
"""(rule, file, what) -> why. `what` is the name or the expression that the finding shows in quotes."""


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    path: str
    line: int
    what: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: '{self.what}' {self.message}"


# --- clock -----------------------------------------------------------------------------------------------------------

_SOURCES = re.compile(
    r"time\.(time|time_ns|gmtime|localtime|ctime|strftime|asctime)"
    r"|datetime\.(datetime\.(now|utcnow|today)|date\.today)"
    r"|os\.(urandom|getrandom)"
    r"|secrets\.(?!compare_digest)\w+"
    r"|random\.\w+"
    r"|uuid\.uuid[1-8]"
)
_ADAPTERS = "src/keybearer/server/adapters/"


def find_clocks(path: str, tree: ast.Module) -> Iterator[Finding]:
    """Uses of the clock or of randomness outside the adapters."""
    if path.startswith(_ADAPTERS):
        return
    names = _imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            dotted = _dotted_name(node, names)
            if dotted is not None and _SOURCES.fullmatch(dotted):
                yield Finding(
                    "clock", path, node.lineno, dotted, "belongs in an adapter; take the value as an argument"
                )


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """What each name that the module imports stands for, as a dotted path."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _dotted_name(node: ast.expr, names: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        before = _dotted_name(node.value, names)
        return before and f"{before}.{node.attr}"
    return None


# --- compare ---------------------------------------------------------------------------------------------------------

_SECRET = re.compile(r"(^|.*_)(hash|secret|mac|digest|binder|nonce|password)|.*token.*")
_NO_SECRET = re.compile(r".*_(id|ids|kind|type|version|length|count|lifetime|at|until|state|name|[a-z]*_id)|[A-Z0-9_]+")
"""Names of facts about a secret, and constants."""


def find_comparisons(path: str, tree: ast.Module) -> Iterator[Finding]:
    """Comparisons with == or != of something whose name says that it is secret."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        if not any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops):
            continue
        operands = [node.left, *node.comparators]
        if any(_sounds_secret(_last_name(operand)) for operand in operands):
            yield Finding("compare", path, node.lineno, ast.unparse(node), "is compared in variable time")


def _last_name(node: ast.expr) -> str:
    """The name that an expression ends in: of `row.token` and `token[4:]` and `row["token"]` it is `token`."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str() as name)):
            return name
        case ast.Subscript(value=value) | ast.Await(value=value) | ast.NamedExpr(target=value):
            return _last_name(value)
        case ast.Call(func=ast.Attribute(value=value, attr="encode" | "decode" | "digest" | "hexdigest" | "strip")):
            return _last_name(value)
        case _:
            return ""


def _sounds_secret(name: str) -> bool:
    return _SECRET.fullmatch(name) is not None and _NO_SECRET.fullmatch(name) is None


# --- size ------------------------------------------------------------------------------------------------------------

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def find_sizes(path: str, tree: ast.Module, lines: int) -> Iterator[Finding]:
    """Functions, files and parameter lists beyond the limits. A docstring does not count as lines of its function."""
    if lines > MAX_FILE_LINES:
        yield Finding("size", path, 1, "file", f"has {lines} lines; {MAX_FILE_LINES} is the limit")
    for name, function in _functions(tree, ""):
        length = _length(function)
        if length > MAX_FUNCTION_LINES:
            yield Finding("size", path, function.lineno, name, f"has {length} lines; {MAX_FUNCTION_LINES} is the limit")
        count = _parameters(function)
        if count > MAX_PARAMETERS:
            message = f"takes {count} parameters; {MAX_PARAMETERS} is the limit"
            yield Finding("size", path, function.lineno, name, message)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, _Function]]:
    for child in ast.iter_child_nodes(node):
        name = f"{prefix}{child.name}" if isinstance(child, _Function | ast.ClassDef) else prefix
        if isinstance(child, _Function):
            yield name, child
        inner = f"{name}." if isinstance(child, _Function | ast.ClassDef) else prefix
        yield from _functions(child, inner)


def _length(function: _Function) -> int:
    docstring = function.body[0] if ast.get_docstring(function) is not None else None
    documented = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - documented


def _parameters(function: _Function) -> int:
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


# --- registry --------------------------------------------------------------------------------------------------------

_REGISTRIES = re.compile(
    r"(?<!emit)-index-url|index_url\s*="
    r"|\bpypi\.(?:org|python\.org)|python(?:hosted)\.org|\bregistry\.(?:npmjs\.org|yarnpkg\.com)"
    r"|\b(?:deb|security)\.debian\.org|/opt/(?:pypi|wheels)"
)


def find_registries(path: str, text: str) -> Iterator[Finding]:
    """Addresses of package registries and mirrors, and options that would name one."""
    for number, line in enumerate(text.splitlines(), start=1):
        match = _REGISTRIES.search(line)
        if match is not None:
            yield Finding("registry", path, number, match[0], "names a package registry")


# ---------------------------------------------------------------------------------------------------------------------


def check_source(path: str, source: str) -> Iterator[Finding]:
    """All findings about one Python file; `path` (relative to the repository) decides which rules hold for it."""
    try:
        tree = ast.parse(source, path)
    except SyntaxError as error:
        yield Finding("syntax", path, error.lineno or 1, "file", f"is no Python {sys.version_info.major}: {error.msg}")
        return
    if path.startswith("src/"):
        yield from find_clocks(path, tree)
        yield from find_comparisons(path, tree)
    if path.startswith(("src/", "tools/")):
        yield from find_sizes(path, tree, len(source.splitlines()))


def check_tree(root: Path) -> Iterator[Finding]:
    """All findings about a repository: the files that git knows or would add."""
    for path in repository_files(root):
        file = root / path
        if not file.is_file() or file.stat().st_size > MAX_FILE_BYTES:
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path != "tools/check_rules.py":
            yield from find_registries(path, text)
        if path.endswith(".py"):
            yield from check_source(path, text)


def repository_files(root: Path) -> list[str]:
    # The clone may be another user's, as it is in some build systems; git is asked for names only.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True)
    return sorted(path for path in listed.stdout.split("\0") if path)


def judge(findings: Iterable[Finding], exceptions: dict[tuple[str, str, str], str]) -> list[str]:
    """The findings that no exception covers, and the exceptions that cover nothing, as lines to print."""
    unused = dict(exceptions)
    lines = []
    for finding in findings:
        key = (finding.rule, finding.path, finding.what)
        unused.pop(key, None)
        if key not in exceptions:
            lines.append(str(finding))
    lines += [f"{path}: {rule}: the exception for '{what}' is not needed" for rule, path, what in unused]
    return lines


def main() -> None:
    lines = judge(check_tree(ROOT), EXCEPTIONS)
    for line in lines:
        print(line)
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
