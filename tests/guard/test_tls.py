"""A guard and a service behind https: certificates are checked, and the feed is followed through them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from keybearer.client import Client, ServiceUnavailable
from keybearer.guard import Guard, ServiceUnreachable
from keybearer.outgoing import line
from tests.guard.test_real_service import QUICK, credentials_of, eventually, guard_key, outcome
from tests.http.world import World

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """Issues certificates for names and addresses of this machine. `file` has its own, for whoever trusts it."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @classmethod
    def new(cls, directory: Path) -> "Authority":
        authority = cls(directory, ec.generate_private_key(ec.SECP256R1()), _name("An authority of a test"))
        authority.file.write_bytes(authority._sign(authority.key, authority.name, "ca", timedelta()))
        return authority

    @property
    def file(self) -> Path:
        return self.directory / "authority.pem"

    def context(self, host: str, *, age: timedelta = timedelta()) -> ssl.SSLContext:
        """That of a server which `host` names; its certificate was made so long ago, for a day."""
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = self.directory / "server.pem"
        file.write_bytes(private + self._sign(key, _name(host), host, age))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _sign(self, key: ec.EllipticCurvePrivateKey, name: x509.Name, host: str, age: timedelta) -> bytes:
        made = datetime.now(UTC) - age
        is_authority = key is self.key
        builder = (
            x509.CertificateBuilder(self.name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(made - timedelta(hours=1))
            .not_valid_after(made + DAY)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.new(tmp_path)


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """One that this process trusts, as an operator would have it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    line._tls_context.cache_clear()
    yield authority
    line._tls_context.cache_clear()


@dataclass(frozen=True, slots=True)
class Proxy:
    """Ends TLS. `heard` is what has come through it from guards and clients, in clear."""

    url: str
    heard: bytearray


@asynccontextmanager
async def behind_tls(world: World, context: ssl.SSLContext) -> AsyncIterator[Proxy]:
    """The service behind a proxy."""
    host, port = world.address
    carrying: set[asyncio.Task[None]] = set()
    heard, answered = bytearray(), bytearray()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
        for way in (_pipe(reader, inner_writer, heard), _pipe(inner_reader, writer, answered)):
            task = asyncio.create_task(way)
            carrying.add(task)
            task.add_done_callback(carrying.discard)

    server = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    try:
        yield Proxy(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/api", heard)
    finally:
        server.close()
        for task in list(carrying):
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray) -> None:
    try:
        with suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65_536):
                record += data
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


async def test_the_feed_is_followed(world: World, trusted: Authority) -> None:
    async with behind_tls(world, trusted.context("127.0.0.1")) as proxy:
        key = await guard_key(world, "guard")
        guard = Guard(proxy.url, key, limits=QUICK)
        await asyncio.to_thread(guard.start)
        try:
            credentials = await credentials_of(world)
            assert outcome(guard, credentials) is None
            assert credentials.authorization is not None
            await world.revoke(credentials.authorization.removeprefix("Bearer "))
            await eventually(lambda: outcome(guard, credentials) is not None)
            assert key.encode() in proxy.heard
        finally:
            await asyncio.to_thread(guard.close)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("host", "age", "says"),
    [("127.0.0.2", timedelta(), "IP address mismatch"), ("127.0.0.1", 2 * DAY, "expired")],
)
async def test_a_wrong_certificate(world: World, authority: Authority, host: str, age: timedelta, says: str) -> None:
    await require_refused(world, authority.context(host, age=age), says)


async def test_an_authority_that_nobody_has_named(world: World, authority: Authority) -> None:
    await require_refused(world, authority.context("127.0.0.1"), "unable to get local issuer certificate")


async def require_refused(world: World, context: ssl.SSLContext, says: str) -> None:
    """By a guard and by a client, in words; and neither has sent anything."""
    key = await guard_key(world, "guard")
    async with behind_tls(world, context) as proxy:
        guard = Guard(proxy.url, key, limits=QUICK)
        with pytest.raises(ServiceUnreachable, match=f"certificate cannot be trusted: .*{says}"):
            await asyncio.to_thread(guard.start, 1)
        with pytest.raises(ServiceUnavailable, match=f"certificate cannot be trusted: .*{says}"):
            await asyncio.to_thread(Client(proxy.url, api_key=world.key).login, "jane@example.com", "a password")
        assert proxy.heard == b""
