"""Ways of naming a private place, none of which reaches the canary that listens there."""

import asyncio
import json

import httpcore
import pytest

from outbound import guarded_client
from outbound.guarded_client import Failed, GuardedClient, Refused, check, for_library
from tests.outbound.servers import Server, reply, running

# `{port}` is the canary's. Each says loopback, this network or a cloud's metadata to some reader.
SPELLINGS = [
    "https://127.0.0.1:{port}/",
    "https://127.0.0.2:{port}/",
    "https://127.255.255.254:{port}/",
    "https://localhost:{port}/",
    "https://LOCALHOST:{port}/",
    "https://localhost.:{port}/",
    "https://127.0.0.1.:{port}/",
    "https://127.1:{port}/",
    "https://127.0.1:{port}/",
    "https://2130706433:{port}/",
    "https://2130706433.:{port}/",
    "https://0x7f000001:{port}/",
    "https://0X7F000001:{port}/",
    "https://0x7f.1:{port}/",
    "https://0x7f.0x0.0x0.0x1:{port}/",
    "https://017700000001:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://0177.1:{port}/",
    "https://00000177.00.00.01:{port}/",
    "https://127.0.0.01:{port}/",
    "https://127.0.0.1%2e:{port}/",
    "https://127%2e0%2e0%2e1:{port}/",
    "https://127。0。0。1:{port}/",
    "https://127.0.0.1:{port}/",
    "https://①②⑦.⓪.⓪.①:{port}/",
    "https://ⓛocalhost:{port}/",
    "https://0:{port}/",
    "https://0.0.0.0:{port}/",
    "https://00000000:{port}/",
    "https://0x0:{port}/",
    "https://340282366920938463463374607431768211455:{port}/",
    "https://4294967297:{port}/",
    "https://256.256.256.257:{port}/",
    "https://[::1]:{port}/",
    "https://[0:0:0:0:0:0:0:1]:{port}/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0001]:{port}/",
    "https://[::]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]:{port}/",
    "https://[::127.0.0.1]:{port}/",
    "https://[::7f00:1]:{port}/",
    "https://[::ffff:0:127.0.0.1]:{port}/",
    "https://[64:ff9b::127.0.0.1]:{port}/",
    "https://[64:ff9b::7f00:1]:{port}/",
    "https://[64:ff9b:1::7f00:1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://[2002:7f00:0001::1]:{port}/",
    "https://[2001:0:7f00:1::]:{port}/",
    "https://[2001:0000:4136:e378:8000:63bf:80ff:fffe]:{port}/",
    "https://[2600::5efe:7f00:1]:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://[::1%25lo]:{port}/",
    "https://[fe80::1]:{port}/",
    "https://[fec0::1]:{port}/",
    "https://[fd00:ec2::254]:{port}/",
    "https://[ff02::1]:{port}/",
    "https://169.254.169.254:{port}/latest/meta-data/",
    "https://2852039166:{port}/",
    "https://0xa9fea9fe:{port}/",
    "https://0251.0376.0251.0376:{port}/",
    "https://[::ffff:169.254.169.254]:{port}/",
    "https://100.100.100.200:{port}/",
    "https://168.63.129.16:{port}/",
    "https://10.0.0.1:{port}/",
    "https://192.168.0.1:{port}/",
    "https://172.16.0.1:{port}/",
    "https://100.64.0.1:{port}/",
    "https://224.0.0.1:{port}/",
    "https://255.255.255.255:{port}/",
    "https://metadata.google.internal:{port}/",
    "https://127.0.0.1.nip.example:{port}/",
    "https://public.example:{port}/",
    "https://user@127.0.0.1:{port}/",
    "https://public.example@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}@public.example:{port}/",
    "https://public.example:{port}\\@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@public.example/",
    "https://127.0.0.1\\.public.example:{port}/",
    "https://public.example#@127.0.0.1:{port}/",
    "https://public.example%00.127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/",
    "https:127.0.0.1:{port}",
    "//127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "http://public.example:{port}/",
    "ws://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET",
    "dict://127.0.0.1:{port}/",
    "file://127.0.0.1/etc/passwd",
    "jar:https://127.0.0.1:{port}/",
    "unix:///run/postgresql",
]


@pytest.fixture
async def canary():
    """A port on loopback, by IPv4 and IPv6, that counts who connects."""
    touched = []

    async def touch(reader, writer):
        touched.append(1)
        writer.close()

    listening = await asyncio.start_server(touch, "127.0.0.1", 0)
    touched_port = listening.sockets[0].getsockname()[1]
    try:
        also = await asyncio.start_server(touch, "::1", touched_port)
    except OSError:  # no IPv6 here
        also = None
    yield touched_port, touched
    for each in (listening, also):
        if each is not None:
            each.close()


async def home(host, port):
    """An attacker's name server: every name is this machine, and numbers are what they are."""
    if host[0].isdigit() or ":" in host or host.startswith("0x"):
        return await guarded_client.resolve(host, port)
    return ["127.0.0.1"]


@pytest.fixture
def only_loopback(monkeypatch):
    """No connection leaves this machine, should the guard let one through: it is counted."""
    beyond = []
    connect = httpcore.AnyIOBackend.connect_tcp

    async def guarded(self, host, *args, **options):
        if host not in {"127.0.0.1", "::1"}:
            beyond.append(host)
            raise httpcore.ConnectError
        return await connect(self, host, *args, **options)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", guarded)
    return beyond


def test_there_are_enough_of_them():
    assert len(set(SPELLINGS)) >= 60


async def test_the_canary_tells_of_whoever_reaches_it(canary):
    port, touched = canary
    async with GuardedClient([f"127.0.0.1:{port}"]) as client:
        with pytest.raises(Failed):
            await client.request("GET", f"http://127.0.0.1:{port}/")

    assert touched == [1]


async def test_no_spelling_reaches_the_canary(canary, only_loopback):
    port, touched = canary
    reached = []
    # Another host is allowed, and another port of this one.
    allowed = ["tracker.lan", f"127.0.0.1:{port + 1}"]
    async with GuardedClient(allowed, resolve=home, total_seconds=2) as client:
        for spelling in SPELLINGS:
            try:
                await client.request("GET", spelling.format(port=port))
                reached.append(spelling)
            except (Refused, Failed):
                pass

    assert (reached, touched, only_loopback) == ([], [], [])


async def test_no_spelling_reaches_the_canary_by_a_librarys_client(canary, only_loopback):
    port, touched = canary
    refused = 0
    async with for_library(["tracker.lan"], resolve=home) as client:
        for spelling in SPELLINGS:
            try:
                await client.post(spelling.format(port=port), json={})
            # A library wraps a refusal as it likes; where it went is what the canary says.
            except Exception:
                refused += 1

    assert (refused, touched, only_loopback) == (len(SPELLINGS), [], [])


async def test_no_redirect_leads_to_the_canary(canary, only_loopback):
    port, touched = canary
    spellings = [each.format(port=port) for each in SPELLINGS if each.isascii()]
    told = iter(spellings)
    reached = []
    server = Server(lambda _: reply(302, Location=next(told)))
    async with running(server), GuardedClient([server.host], resolve=home) as client:
        for spelling in spellings:
            try:
                answer = await client.request("GET", server.url)
                reached.append((spelling, answer.status))
            except (Refused, Failed):
                pass

    assert (reached, touched, only_loopback) == ([], [], [])
    assert len(server.asked) == len(spellings)


async def test_a_chain_of_redirects_is_judged_at_every_step(canary, only_loopback):
    port, touched = canary
    async with running(Server(None)) as second, running(Server(None)) as first:
        first.answer = lambda _: reply(301, Location=f"{second.url}/")
        second.answer = lambda asked: reply(
            307, Location="/again" if asked.path == "/" else f"https://public.example:{port}/"
        )
        async with GuardedClient([first.host, second.host], resolve=home) as client:
            with pytest.raises(Refused, match="loopback"):
                await client.request("GET", first.url)

    assert (touched, only_loopback) == ([], [])
    assert [asked.path for asked in second.asked] == ["/", "/again"]


async def test_a_name_that_is_bound_anew_reaches_nobody(canary, only_loopback):
    """The first answer is public; every later one is this machine."""
    port, touched = canary
    asked = []

    async def rebinding(host, port):
        asked.append(host)
        return ["93.184.215.14"] if len(asked) == 1 else ["127.0.0.1"]

    async with GuardedClient(resolve=rebinding) as client:
        with pytest.raises(Failed):  # where it went is where the judged answer led
            await client.request("GET", f"https://rebind.example:{port}/")
        with pytest.raises(Refused, match="loopback"):
            await client.request("GET", f"https://rebind.example:{port}/")

    assert (touched, only_loopback, len(asked)) == ([], ["93.184.215.14"], 2)


async def test_an_answer_that_mixes_public_and_private_reaches_nobody(canary, only_loopback):
    port, touched = canary

    async def mixed(host, port):
        return ["93.184.215.14", "127.0.0.1"]

    async with GuardedClient(resolve=mixed) as client:
        with pytest.raises(Refused):
            await client.request("GET", f"https://mixed.example:{port}/")

    assert (touched, only_loopback) == ([], [])


@pytest.mark.parametrize(
    "address",
    [
        "http://public.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://169.254.169.254/",
        "https://2130706433/",
        "https://user:pw@public.example/",
        "ftp://public.example/",
        "nothing",
    ],
)
def test_an_address_can_be_looked_at_without_asking_anybody(address):
    with pytest.raises(Refused):
        check(address, ())


def test_a_public_or_allowed_address_may_be_asked():
    check("https://public.example/hook", ())
    check("https://93.184.215.14/hook", ())
    check("http://tracker.lan:8080/hook", ["tracker.lan:8080"])
    check("http://127.0.0.1:8080/hook", ["127.0.0.1:8080"])


async def test_a_librarys_client_follows_no_redirect_and_sends_no_cookie():
    answer = reply(302, json.dumps({}).encode(), Location="/again", Set_Cookie="a=1; Path=/")
    server = Server(lambda _: answer)
    async with running(server), for_library([server.host]) as client:
        for _ in range(2):
            assert (await client.get(server.url)).status_code == 302

    assert [each.path for each in server.asked] == ["/", "/"]
    assert "cookie" not in server.asked[1].headers


async def test_an_announced_length_over_the_limit_is_not_read():
    sent = []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
        try:
            while not writer.is_closing() and len(sent) < 10_000:
                writer.write(b"x" * 65536)
                sent.append(1)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = Server(None)
    server.serve = serve
    async with running(server), GuardedClient([server.host]) as client:
        with pytest.raises(Failed, match="larger than"):
            await client.request("GET", server.url)

    assert len(sent) < 500


@pytest.mark.parametrize("announced", [5, 500])
async def test_a_lie_about_the_length_is_not_believed(announced):
    """More bytes than announced are another answer's; fewer are no answer."""
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % announced

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said + b"0123456789")
        await writer.drain()
        writer.close()

    server = Server(None)
    server.serve = serve
    async with running(server), GuardedClient([server.host]) as client:
        if announced == 5:
            assert (await client.request("GET", server.url)).body == b"01234"
        else:
            with pytest.raises(Failed):
                await client.request("GET", server.url)
