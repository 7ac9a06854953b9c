"""The manager API's line protocol: commands over TCP, and pushes of what is committed."""

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from api import auth, flow
from api.manager.pushes import Pushes
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from shared.bus.reader import Received, Verdict
from shared.contracts import links as link_contract
from shared.store.engine import create_engine
from shared.store.outbox import Entry
from shared.store.work import Store, encode

from tests.api.line import LineClient, connected, line_server
from tests.api.told import link, links
from tests.api.world import BOB_LOGIN, MASTER, World, open_world

pytestmark = pytest.mark.anyio


MNG = "SESSION_MANAGER"


async def test_line_protocol(world: World) -> None:
    await world.pair()
    async with line_server(world) as (server, _), connected(world, server.port) as client:
        answer = await client.ask("MngGetCopyMastersByFilter", {"limit": 10, "offset": 0})
        assert (answer["extID"], answer["status"], answer["data"]["count"]) == ("one", 200, 1)
        assert (await client.ask("MngUpdateCopyMaster", {"id": 1, "enabled": 7}))["error"] == "INVALID_DATA"
        assert (await client.ask("MngNothing"))["status"] == 404
        assert (await client.ask("MngGetCopyMastersByFilter", __token="nonsense"))["error"] == "INVALID_MANAGER_SESSION"
        for line in (b"nonsense\r\n", b"[1]\r\n", b'{"command": "x", "extID": [1]}\r\n', b"\xff\xfe\r\n"):
            client.writer.write(line)
            assert (await client.receive())["error"] == "INVALID_DATA"
        client.writer.write(b'\r\n{"command":"MngGetCopyMastersByFilter",')  # an empty line, and half of one
        await asyncio.sleep(0.05)
        client.writer.write(b'"extID":7,"__token":"%s"}\n' % client.token.encode())
        assert (await client.receive())["extID"] == 7


async def test_one_key_one_effect_on_the_line(world: World) -> None:
    async with line_server(world) as (server, _), connected(world, server.port) as client:
        made = await client.ask("MngCreateCopyMaster", MASTER, idempotencyKey="k1")
        assert await client.ask("MngCreateCopyMaster", MASTER, idempotencyKey="k1") == made
        assert (await client.ask("MngCreateCopyMaster", MASTER | {"login": BOB_LOGIN}, idempotencyKey="k1"))[
            "error"
        ] == "IDEMPOTENCY_KEY_REUSED"
        assert len(await world.rows("master")) == 1


async def test_a_thousand_requests_in_flight_on_one_connection(world: World) -> None:
    await world.pair()
    async with line_server(world) as (server, _), connected(world, server.port) as client:
        for number in range(1000):
            client.send("MngGetCopyMastersByFilter", f"r{number}", {"limit": 1, "offset": number % 2})
        answers = {(answer := await client.receive())["extID"]: answer for _ in range(1000)}
    assert set(answers) == {f"r{number}" for number in range(1000)}
    assert all(answer["status"] == 200 and len(answer["data"]["rows"]) == 1 - int(ext_id[1:]) % 2 for ext_id, answer in answers.items())


async def test_no_more_requests_of_a_connection_are_begun_than_may_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    most = 0

    async def slow(*_: Any) -> dict[str, Any]:
        nonlocal most
        begun.append(1)
        most = max(most, len(begun))
        await asyncio.sleep(0.05)
        begun.pop()
        return {}

    monkeypatch.setattr("api.manager.tcp.dispatch", slow)
    async with (
        open_world(tmp_path, tcp_in_flight_max=2) as world,
        line_server(world) as (server, _),
        connected(world, server.port) as client,
    ):
        for number in range(7):
            client.send("MngGetCopyMastersByFilter", f"r{number}", {})
        assert {(await client.receive())["extID"] for _ in range(7)} == {f"r{number}" for number in range(7)}
    assert most == 2


async def test_pushes_come_after_the_commit_and_only_to_subscribers(world: World) -> None:
    async with line_server(world) as (server, pushes), connected(world, server.port) as client, connected(world, server.port) as other:
        assert (await client.ask("Subscribe", {"chanels": ["link:event"]}))["data"] == {"chanels": ["link:event"]}
        assert (await client.ask("Subscribe", {"chanels": ["nonsense"]}))["error"] == "INVALID_DATA"
        heard = pushes.reads(flow.READS)[link_contract.TOPIC].handler
        async with world.store.work() as work:
            await heard(Received(link_contract.TOPIC, 1, "executor", world.now, (links(link(1)),)), work)
            work.move(link_contract.TOPIC, 0, 1)
            pushes.tell()
            assert await client.ask("MngGetCopyMastersByFilter") == await other.ask("MngGetCopyMastersByFilter")  # no push in between
        pushes.tell()
        push = await client.receive()
        assert (push["event"], push["type"], push["data"]["link"], push["data"]["master_order"]) == ("link:event", "update", 1, 1001)
        assert (await client.ask("Unsubscribe", {"chanels": ["link:event"]}))["data"] == {"chanels": []}
        assert (await other.ask("MngGetCopyTradeLinksByFilter"))["data"]["count"] == 1


async def test_every_instance_pushes_what_another_one_has_handled(world: World) -> None:
    """Of several instances one handles an entry, whoever is first; the clients of the others hear of it all the same, and each once."""
    other = Store(create_engine(str(world.store.engine.url)), "api", world.store.clock, serial=False)
    await other.open()
    pushes, heard = Pushes(world.store), []
    pushes.join(lambda _channel, message: heard.append(message["data"]["link"]))
    topic, handler = link_contract.TOPIC, flow.READS[link_contract.TOPIC]
    head: dict[str, object] = {"source": "executor", "sent": world.now, "after": {}}
    entries = [Entry(number, encode(head, topic, number, [links(link(number))])) for number in range(1, 9)]
    slower = pushes.reads(flow.READS)[topic].reader(world.store, topic)
    for start, stop in ((0, 3), (3, 4)):
        await handler.reader(other, topic).take(entries[start:stop])
    for start, stop in ((0, 1), (1, 4), (4, 6), (2, 6)):  # the last of them are read once more
        assert await slower.take(entries[start:stop]) is Verdict.HANDLED
        pushes.tell()
    assert heard == [1, 2, 3, 4, 5, 6]
    # The first of two is known to be handled when they come, and the second is told before the read of both has come to its end.
    world.store.on_told.append(lambda _work: pushes.tell())
    await handler.reader(world.store, topic).take(entries[6:7])
    await slower.take(entries[6:8])
    pushes.tell()
    assert sorted(heard) == [1, 2, 3, 4, 5, 6, 7, 8]
    await other.engine.dispose()


async def test_pushes_end_with_the_session(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, events_check_s=0.1) as world,
        line_server(world) as (server, pushes),
        connected(world, server.port) as client,
        connected(world, server.port) as silent,
    ):
        assert (await client.ask("Subscribe", {"chanels": ["link:event"]}))["status"] == 200
        assert (await silent.ask("MngGetCopyMastersByFilter"))["status"] == 200
        await asyncio.sleep(0.3)
        world.now += 3_601_000
        answer = await client.receive()
        assert (answer["status"], answer["error"]) == (401, "INVALID_MANAGER_SESSION")
        assert await asyncio.wait_for(client.reader.read(), 10) == b""
        assert pushes._listeners == set()
        assert (await silent.ask("MngGetCopyMastersByFilter"))["status"] == 401  # who gets no pushes is answered still


async def test_tls(tmp_path: Path) -> None:

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = (
        builder.not_valid_before(start).not_valid_after(start.replace(year=2099)).add_extension(names, False).sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(private)
    trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    settings = {"tcp_certificate": tmp_path / "cert.pem", "tcp_key": tmp_path / "key.pem"}
    async with open_world(tmp_path, **settings) as world, line_server(world) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust, server_hostname="localhost")
        client = LineClient(reader, writer, world.token(auth.MANAGER, "ops"))
        assert (await client.ask("MngGetCopyMastersByFilter"))["status"] == 200
        writer.close()
