"""That a contender does the work at all: some answer 2xx to a token that they do not accept."""

import httpx2

from bench.peers.contender import CHECK, REFRESH, Contender, Request, Service


def prove(contender: Contender, service: Service, turn: int) -> None:
    """A good token is told from another one, and a refresh leads to another refresh token. Uses the last session of the
    round."""
    token = contender.lines(CHECK, turn)[0]
    other = token[:-8] + token[:-9:-1]  # its last eight characters backwards
    good, bad = (_ask(service, contender.forms[CHECK](line)).text for line in (token, other))
    if contender.proof not in good or contender.proof in bad:
        raise RuntimeError(f"{contender.name} does not tell a good token from another one: {good!r}, {bad!r}")
    if REFRESH in contender.forms:
        _prove_rotation(contender, service, contender.lines(REFRESH, turn)[-1])


def _prove_rotation(contender: Contender, service: Service, token: str) -> None:
    answer = _ask(service, contender.forms[REFRESH](token)).raise_for_status().text
    if "refresh" not in answer or token in answer:
        raise RuntimeError(f"{contender.name} does not rotate its refresh tokens")


def _ask(service: Service, request: Request) -> httpx2.Response:
    url = f"{service.url}{request.path}"
    return httpx2.request(request.method, url, headers=request.headers, content=request.body)
