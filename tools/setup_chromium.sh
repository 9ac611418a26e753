#!/bin/sh
# Finds Chromium for the tests in a browser, or installs Debian's. Fails when it can do neither, and says how to go on.
set -eu

has_chromium() { command -v "${KEYBEARER_CHROMIUM:-chromium}" >/dev/null; }

if ! has_chromium && [ -z "${KEYBEARER_CHROMIUM:-}" ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing chromium"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null
fi

has_chromium || {
    echo "setup: no Chromium found. As root: apt-get install chromium." >&2
    echo "       Or name another build of it: KEYBEARER_CHROMIUM=/path/to/chrome" >&2
    exit 1
}
