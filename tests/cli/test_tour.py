"""`keybearer tour`: against a real service, against nothing, and against one whose answers are wrong."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from keybearer.server.cli import tour as tour_module
from keybearer.server.cli.tour import Outcome, Place, make_visitor, take_tour
from keybearer.server.cli.tour_steps import Answer, Request, Visitor
from keybearer.server.cli.transcript import HIDDEN, Shortener, StepRecord
from tests.http.conftest import world as world
from tests.http.world import PASSWORD, World
from tests.support.ports import free_port

COMPLETE = "The tour is complete: 13 steps, all as expected."
WHOLE = re.compile(r"(eyJ|kb[prs]_)[A-Za-z0-9._-]{6,}|[A-Za-z0-9_-]{41,}")
"""What a whole credential looks like: eight characters of one may be shown, and an ellipsis."""

Sender = Callable[[Any, str, Request], Answer]


async def run_tour(
    url: str, *options: str, key: str = "kbp_none", password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keybearer", "tour", "--url", url, "--username", "jane@example.com", *options]
    return await asyncio.to_thread(
        subprocess.run,
        command,
        env={**os.environ, "KEYBEARER_TOUR_API_KEY": key},
        input=f"{password}\n",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def url_of(world: World) -> str:
    return f"http://127.0.0.1:{world.address[1]}"


def dead_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


async def test_the_tour_of_a_service_is_complete(world: World) -> None:
    finished = await run_tour(url_of(world), "--password-stdin", key=world.key)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.splitlines()[-1] == COMPLETE
    assert finished.stdout.count("✓") == 13
    assert PASSWORD not in finished.stdout
    assert WHOLE.search(finished.stdout) is None
    for shown in (
        "POST /v1/api/oauth/token/refresh",
        f"Api-Key: {world.key[:8]}…",
        "Authorization: Bearer eyJ",
        HIDDEN,
    ):
        assert shown in finished.stdout


async def test_the_session_of_the_tour_is_over(world: World) -> None:
    await run_tour(url_of(world), "--password-stdin", key=world.key)
    assert await world.storage.sessions.list_alive(world.user.id, limit=10) == []


async def test_one_json_object(world: World) -> None:
    finished = await run_tour(url_of(world), "--password-stdin", "--json", key=world.key)
    report = json.loads(finished.stdout)
    assert finished.returncode == 0
    assert (report["complete"], report["failure"]) == (True, None)
    assert [step["step"] for step in report["steps"]] == list(range(1, 14))
    assert [step["answer"]["status"] for step in report["steps"]] == [*[200] * 7, 403, 401, 401, 200, 401, 401]
    assert report["steps"][0]["request"]["body"] == {"username": "jane@example.com", "password": HIDDEN}
    assert PASSWORD not in finished.stdout
    assert WHOLE.search(finished.stdout) is None


async def test_a_wrong_password_ends_it_at_the_first_step(world: World) -> None:
    finished = await run_tour(url_of(world), "--password-stdin", key=world.key, password="not that one")
    assert finished.returncode == 1
    last = finished.stdout.splitlines()[-1]
    assert last.startswith('The tour ended early. Step 1, "Log in": expected 200;')
    assert last.endswith("came 401 invalid_credentials.")
    assert "not that one" not in finished.stdout


async def test_a_wrong_key_ends_it_at_the_first_step(world: World) -> None:
    finished = await run_tour(url_of(world), "--password-stdin", "--json", key="kbp_" + "A" * 49)
    report = json.loads(finished.stdout)
    assert finished.returncode == 1
    assert (report["complete"], len(report["steps"])) == (False, 1)
    assert report["steps"][0]["problem"] == "403 api_key_invalid"


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_a_service_that_is_not_there(form: tuple[str, ...]) -> None:
    finished = await run_tour(dead_url(), "--password-stdin", *form)
    assert (finished.returncode, finished.stderr) == (1, "")
    [line] = finished.stdout.strip().splitlines()
    assert "Start the service with `keybearer serve`" in line


@pytest.mark.parametrize(
    "url, options, key",
    [
        ("http://127.0.0.1:1", (), "kbp_x"),  # nowhere to ask for the password
        ("http://127.0.0.1:1", ("--password-stdin",), ""),
        ("http://127.0.0.1:1", ("--password-stdin",), "kbp_ü"),
        ("http://127.0.0.1:99999", ("--password-stdin",), "kbp_x"),
        ("http://jane:secret@127.0.0.1", ("--password-stdin",), "kbp_x"),
        ("127.0.0.1:8100", ("--password-stdin",), "kbp_x"),
        ("http://127.0.0.1:1", ("--password-stdin", "--base-path", "v1 api"), "kbp_x"),
    ],
)
async def test_wrongly_asked(url: str, options: tuple[str, ...], key: str) -> None:
    finished = await run_tour(url, *options, key=key)
    assert finished.returncode == 2, finished.stdout
    assert "Traceback" not in finished.stderr


class Recorded:
    """The answers of one real tour, to be played again with one of them changed."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.visitor: Visitor | None = None

    async def record(self, world: World, patch: pytest.MonkeyPatch) -> None:
        send = tour_module._send

        def record(client: Any, path: str, request: Request) -> Answer:
            self.answers.append(send(client, path, request))
            return self.answers[-1]

        patch.setattr(tour_module, "_send", record)
        self.visitor = make_visitor(world.key, "jane@example.com", PASSWORD)
        outcome = await asyncio.to_thread(take_tour, Place(url_of(world), "/v1/api"), self.visitor, lambda record: None)
        assert outcome.summary() == COMPLETE

    def play(self, patch: pytest.MonkeyPatch, number: int, changed: Answer) -> Outcome:
        answers = iter([*self.answers[: number - 1], changed])
        patch.setattr(tour_module, "_send", lambda client, path, request: next(answers))
        assert self.visitor is not None
        return take_tour(Place("http://127.0.0.1:1", "/v1/api"), self.visitor, lambda record: None)


async def test_every_answer_is_checked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    await recorded.record(world, monkeypatch)
    for number, answer in enumerate(recorded.answers, start=1):
        others = [
            Answer(500, answer.document),
            Answer(answer.status, {}),
            Answer(answer.status, "<html>"),
            Answer(answer.status, {"data": {"id": "x", "attributes": {}}}),
            Answer(answer.status, {"errors": [{"code": "internal_error"}]}),
        ]
        for other in others:
            outcome = recorded.play(monkeypatch, number, other)
            assert outcome.failure is not None
            assert outcome.failure.startswith(f"Step {number}, "), outcome.failure


async def test_a_repeated_refresh_that_moves_the_chain_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded()
    await recorded.record(world, monkeypatch)
    document = json.loads(json.dumps(recorded.answers[4].document))
    document["data"]["attributes"]["refreshToken"] = "kbr_" + "B" * 60
    outcome = recorded.play(monkeypatch, 5, Answer(200, document))
    assert outcome.failure is not None
    assert "came 200, but not: the same refresh token as in the answer that was lost" in outcome.failure
    assert WHOLE.search(outcome.failure) is None


async def test_every_credential_that_was_sent_or_answered_is_shortened(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded()
    await recorded.record(world, monkeypatch)
    records: list[StepRecord] = []
    answers = iter(recorded.answers)
    monkeypatch.setattr(tour_module, "_send", lambda client, path, request: next(answers))
    assert recorded.visitor is not None
    take_tour(Place("http://127.0.0.1:1", "/v1/api"), recorded.visitor, records.append)
    shown = repr(records)
    sessions = [recorded.answers[number].document["data"]["attributes"] for number in (0, 3, 4)]
    tokens = [session[name] for session in sessions for name in ("accessToken", "refreshToken")]
    for secret in (*tokens, world.key, recorded.visitor.idempotency_key):
        assert secret[:9] not in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize(
    "value, shown",
    [
        ({"accessToken": "opaque-and-short"}, {"accessToken": "opaque-a…"}),
        ({"detail": "kbr_AAAABBBBCCCC is wrong"}, {"detail": "kbr_AAAA… is wrong"}),
        ({"list": ["eyJhbGciOiJF.eyJpc3Mi.c2ln"]}, {"list": ["eyJhbGci…"]}),
        ({"x": "a" * 41}, {"x": "aaaaaaaa…"}),
        ({"id": "01a3185c-5000-72e6-a282-e5c1657ca967"}, {"id": "01a3185c-5000-72e6-a282-e5c1657ca967"}),
        ({"detail": f"not {PASSWORD}"}, {"detail": f"not {HIDDEN}"}),
        ({"password": "x"}, {"password": HIDDEN}),
        ({"Authorization": "Bearer abc!defghijk"}, {"Authorization": "Bearer abc!defg…"}),
        ({"text": "\x1b[31mred"}, {"text": "�[31mred"}),
        ({"n": 1, "none": None, "yes": True}, {"n": 1, "none": None, "yes": True}),
    ],
)
def test_what_is_shown(value: Any, shown: Any) -> None:
    assert Shortener(PASSWORD).clean(value) == shown
