"""The flow of the reference document (R1-R13), over HTTP."""

import asyncio
from uuid import UUID

from keybearer import AccessTokenVerifier, KeySet
from keybearer.server.domain.sessions import EndReason
from tests.http.world import BASE, OPERATOR, ORIGIN, World, attributes, code_of


async def test_log_in_use_refresh_inspect_and_revoke(world: World) -> None:
    session = await world.session()
    assert session["tokenType"] == "Bearer"
    assert (session["expiresIn"], session["refreshExpiresIn"]) == (900, 30 * 86400)
    assert (session["email"], session["firstName"], session["lastName"]) == ("jane@example.com", "Jane", "Doe")

    profile = await world.request("GET", f"{BASE}/users/me", token=session["accessToken"])
    assert attributes(profile)["email"] == "jane@example.com"

    refreshed = attributes(await world.refresh(session["refreshToken"]))
    assert refreshed["refreshToken"] != session["refreshToken"]
    assert refreshed["sessionId"] == session["sessionId"]

    inspected = await world.info(refreshed["accessToken"])
    assert inspected.status_code == 200
    assert attributes(inspected)["sessionId"] == session["sessionId"]

    revoked = await world.revoke(refreshed["accessToken"])
    assert revoked.status_code == 200
    assert revoked.json()["data"]["id"] == session["sessionId"]
    assert attributes(revoked)["sessions"] == 1

    for token in (session["accessToken"], refreshed["accessToken"]):
        assert code_of(await world.info(token)) == (401, "access_token_revoked")
    assert code_of(await world.refresh(refreshed["refreshToken"])) == (401, "session_revoked")


async def test_a_refresh_does_not_end_the_access_token_before_it(world: World) -> None:
    session = await world.session()
    await world.refresh(session["refreshToken"])
    assert (await world.info(session["accessToken"])).status_code == 200


async def test_a_phone_number_names_the_user_too(world: World) -> None:
    assert (await world.log_in("+41 44 668 18 00")).status_code == 200


async def test_a_name_is_compared_in_lower_case(world: World) -> None:
    assert (await world.log_in("Jane@Example.COM")).status_code == 200


async def test_the_token_document_says_what_the_token_says(world: World) -> None:
    session = await world.session()
    document = (await world.info(session["accessToken"])).json()["data"]
    claims = document["attributes"]["claims"]
    assert document["id"] == claims["jti"]
    assert document["attributes"]["userId"] == claims["sub"] == str(world.user.id)
    assert document["attributes"]["applicationId"] == claims["client_id"] == str(world.application.id)
    assert claims["iss"] == claims["aud"] == "https://auth.example.com"
    assert claims["exp"] - claims["iat"] == 900
    assert claims["ver"] == world.user.ver
    assert "email" not in claims


async def test_anyone_can_verify_a_token_with_the_published_keys(world: World) -> None:
    session = await world.session()
    published = await world.request("GET", "/.well-known/jwks.json", key=None)
    verifier = AccessTokenVerifier(
        issuer="https://auth.example.com",
        audience="https://auth.example.com",
        keys=KeySet.from_jwks(published.json()),
        algorithms=["ES256"],
    )
    token = verifier.verify(
        session["accessToken"], application_id=str(world.application.id), now=world.clock.now() / 1000
    )
    assert token.session_id == session["sessionId"]


async def test_revoke_answers_to_get_too(world: World) -> None:
    session = await world.session()
    answer = await world.request("GET", f"{BASE}/oauth/token/revoke", token=session["accessToken"])
    assert answer.status_code == 200
    assert code_of(await world.info(session["accessToken"])) == (401, "access_token_revoked")


async def test_an_expired_access_token_cannot_be_revoked_alone(world: World) -> None:
    session = await world.session()
    await world.advance(900)
    assert code_of(await world.revoke(session["accessToken"])) == (401, "access_token_expired")


async def test_the_refresh_token_ends_the_session_of_an_expired_access_token(world: World) -> None:
    session = await world.session()
    await world.advance(900)
    assert (await world.revoke(session["accessToken"], session["refreshToken"])).status_code == 200
    assert code_of(await world.refresh(session["refreshToken"])) == (401, "session_revoked")


async def test_the_refresh_token_of_another_session_changes_nothing(world: World) -> None:
    one, other = await world.session(), await world.session()
    assert code_of(await world.revoke(one["accessToken"], other["refreshToken"])) == (401, "refresh_token_invalid")
    assert (await world.info(one["accessToken"])).status_code == 200
    assert (await world.info(other["accessToken"])).status_code == 200


async def test_all_devices(world: World) -> None:
    for query in ("allDevices=true", "logoutCurrentDevice=false"):
        sessions = [await world.session() for _ in range(3)]
        answer = await world.revoke(sessions[0]["accessToken"], params=query)
        assert attributes(answer)["sessions"] == 3
        for session in sessions:
            assert code_of(await world.info(session["accessToken"])) == (401, "access_token_revoked")
            assert code_of(await world.refresh(session["refreshToken"])) == (401, "session_revoked")


async def test_all_devices_with_a_refresh_token_needs_the_current_one(world: World) -> None:
    first = await world.session()
    second = attributes(await world.refresh(first["refreshToken"]))
    await world.advance(900)
    refused = await world.revoke(None, first["refreshToken"], params="allDevices=true")
    assert code_of(refused) == (401, "refresh_token_invalid")
    assert (await world.revoke(None, second["refreshToken"], params="allDevices=true")).status_code == 200


async def test_own_sessions_are_listed_and_ended(world: World) -> None:
    one, two, three = [await world.session() for _ in range(3)]
    listed = (await world.request("GET", f"{BASE}/sessions", token=one["accessToken"])).json()
    assert listed["meta"] == {"next": None}
    assert {entry["id"] for entry in listed["data"]} == {one["sessionId"], two["sessionId"], three["sessionId"]}
    assert [entry["id"] for entry in listed["data"] if entry["attributes"]["current"]] == [one["sessionId"]]
    assert listed["data"][0]["attributes"]["applicationName"] == "Shop"
    assert listed["data"][0]["attributes"]["address"] == "127.0.0.1"

    ended = await world.request("DELETE", f"{BASE}/sessions/{two['sessionId']}", token=one["accessToken"])
    assert (ended.status_code, ended.content) == (204, b"")
    assert code_of(await world.info(two["accessToken"])) == (401, "access_token_revoked")

    others = await world.request("DELETE", f"{BASE}/sessions", token=one["accessToken"])
    assert others.status_code == 204
    assert code_of(await world.info(three["accessToken"])) == (401, "access_token_revoked")
    assert (await world.info(one["accessToken"])).status_code == 200


async def test_nobody_ends_the_session_of_somebody_else(world: World) -> None:
    await world.add_user("john@example.com")
    mine, theirs = await world.session(), await world.session(username="john@example.com")
    for id in (theirs["sessionId"], "nonsense", "00000000-0000-7000-8000-000000000000"):
        answer = await world.request("DELETE", f"{BASE}/sessions/{id}", token=mine["accessToken"])
        assert code_of(answer) == (404, "not_found")
    assert (await world.info(theirs["accessToken"])).status_code == 200


async def test_a_change_of_roles_shows_after_a_refresh_and_ends_no_session(world: World) -> None:
    session = await world.session()
    await world.storage.users.set_roles(world.user.id, add=frozenset({"editor"}), actor=OPERATOR)
    await world.service.follower.catch_up()
    assert code_of(await world.info(session["accessToken"])) == (401, "access_token_revoked")
    refreshed = attributes(await world.refresh(session["refreshToken"]))
    claims = attributes(await world.info(refreshed["accessToken"]))["claims"]
    assert claims["roles"] == ["editor"]


async def test_a_revocation_elsewhere_is_seen_within_moments(world: World) -> None:
    session = await world.session()
    await world.storage.sessions.end(UUID(session["sessionId"]), EndReason.ADMINISTRATOR, OPERATOR)
    async with asyncio.timeout(10):
        while (await world.info(session["accessToken"])).status_code == 200:
            await asyncio.sleep(0.005)


async def test_a_browser_of_an_allowed_origin_is_served(world: World) -> None:
    answer = await world.log_in(headers={"Origin": ORIGIN})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_a_follower_that_is_far_behind_is_not_fresh_before_it_has_caught_up(world: World) -> None:
    """One look at the log brings a thousand entries at most; a revocation beyond them is known all the same."""
    session = await world.session()
    other = await world.add_user("john@example.com")
    async with world.service.follower._reading:  # nobody reads meanwhile
        for _ in range(550):
            await world.storage.users.set_roles(other.id, add=frozenset({"a"}), actor=OPERATOR)
            await world.storage.users.set_roles(other.id, remove=frozenset({"a"}), actor=OPERATOR)
        await world.storage.sessions.end(UUID(session["sessionId"]), EndReason.ADMINISTRATOR, OPERATOR)
    await world.service.follower.catch_up()
    assert code_of(await world.info(session["accessToken"])) == (401, "access_token_revoked")
