"""A guard in the child of a fork: as a server forks its workers from a process that has loaded the application."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.guard.feed_server import GUARD_KEY, KEY, FeedServer, eventually

SCRIPT = """
import os, sys, threading, time
from keybearer.errors import AccessTokenRevoked
from keybearer.guard import Credentials, Guard

url, guard_key, key, token, other = sys.argv[1:]
guard = Guard(url, guard_key)
credentials = Credentials(key, f"Bearer {token}")
guard.start()
assert guard.verify(credentials)

def threads():
    return sorted(thread.name for thread in threading.enumerate())

def say(line):  # one write: the lines of two processes on one pipe stay whole
    os.write(1, f"{line}\\n".encode())

def wait_for_revocation(who):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            guard.verify(credentials)
        except AccessTokenRevoked:
            say(f"{who} refuses")
            return
        time.sleep(0.005)
    say(f"{who} still accepts")

child = os.fork()
if child == 0:
    assert threads() == ["MainThread"], threads()
    assert guard.staleness < 20
    assert guard.verify(Credentials(key, f"Bearer {other}"))
    assert len(threads()) == 3, threads()
    say("child follows")
    wait_for_revocation("child")
    guard.close()
    assert threads() == ["MainThread"], threads()
    say("child ends")
    sys.exit(0)

wait_for_revocation("parent")
assert os.waitpid(child, 0)[1] == 0
guard.close()
assert threads() == ["MainThread"], threads()
say("parent ends")
"""


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as server:
        yield server


def test_parent_and_child_follow_on_their_own(server: FeedServer) -> None:
    arguments = (server.url, GUARD_KEY, KEY, server.token(1), server.token(2))
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        eventually(lambda: len(server.streams) == 2 or process.poll() is not None)
        assert server.count("/v1/api/feed/snapshot") == 1  # the child goes on from where the parent was
        server.revoke(1)
        out, err = process.communicate(timeout=60)
    assert err == ""
    assert set(out.splitlines()) == {
        "child follows",
        "child refuses",
        "child ends",
        "parent refuses",
        "parent ends",
    }


CLOSED = """
import os, sys, threading
from keybearer.guard import Guard

guard = Guard(sys.argv[1], sys.argv[2])
with guard:
    pass
if os.fork() == 0:
    assert threading.active_count() == 1
    sys.exit(0)
assert os.wait()[1] == 0
forgotten = Guard(sys.argv[1], sys.argv[2])
forgotten.start()
print("ends with threads under way")
"""


def test_a_process_ends_with_its_threads_under_way(server: FeedServer) -> None:
    command = [sys.executable, "-W", "error", "-c", CLOSED, server.url, GUARD_KEY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "ends with threads under way\n"
