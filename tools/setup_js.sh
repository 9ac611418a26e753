#!/bin/sh
# Gets what package-lock.json names. Safe to repeat. Without Node it says what is left out and succeeds: the service,
# its tests and its demo need none.
set -eu
cd "$(dirname "$0")/.."

leave_out() {
    echo "setup: $1: the JavaScript package, its tests and the browser example are left out." >&2
    echo "       They need Node 20.19 or newer and npm. Debian 13: apt-get install nodejs npm." >&2
    exit 0
}

is_recent() {
    node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major * 100 + +minor < 2019 ? 1 : 0)'
}

command -v node >/dev/null || leave_out "no Node found"
command -v npm >/dev/null || leave_out "no npm found"
is_recent || leave_out "Node $(node --version) is too old"

echo "setup: installing package-lock.json into node_modules (Node $(node --version))"
npm ci --silent
touch node_modules/.set-up
echo "setup: JavaScript done"
