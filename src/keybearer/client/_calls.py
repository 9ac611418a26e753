"""Requests to the service itself and its answers, and the two credentials, as values."""

from dataclasses import dataclass, field

from keybearer.client._secret import SecretBytes, SecretText


@dataclass(frozen=True, slots=True)
class Call:
    """`path` follows the base path. `headers` are those beside the credentials."""

    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The values of the two headers; no `authorization` when there is no session. `pairs` are both as bytes."""

    api_key: SecretText
    authorization: SecretText | None
    pairs: tuple[tuple[bytes, SecretBytes], ...]

    def headers(self) -> dict[str, str]:
        if self.authorization is None:
            return {"Api-Key": self.api_key}
        return {"Api-Key": self.api_key, "Authorization": self.authorization}


def make_credentials(api_key: SecretText, access_token: str | None = None) -> Credentials:
    """The values for a key and the token of a session."""
    key = (b"Api-Key", SecretBytes(api_key))
    if access_token is None:
        return Credentials(api_key, None, (key,))
    authorization = SecretText(f"Bearer {access_token}")
    return Credentials(api_key, authorization, ((b"Authorization", SecretBytes(authorization)), key))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the service, read to its end. `retry_after` is in seconds."""

    status: int
    retry_after: float | None
    body: bytes = field(repr=False)
