"""The one client that opens outbound connections, and where it does not go."""

import asyncio
import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from outbound.guarded_client import Failed, GuardedClient, Refused
from tests.outbound.servers import Server, reply, running


def leading_to(*addresses):
    """A resolver that answers every name with these, and counts how often it is asked."""

    async def resolve(host, port):
        resolve.asked.append(host)
        return list(addresses)

    resolve.asked = []
    return resolve


async def refusal(url, *allowed, **more):
    async with GuardedClient(allowed, **more) as client:
        with pytest.raises(Refused) as refused:
            await client.request("GET", url)
    return str(refused.value)


async def get(server, path="/", *, headers=None, **more):
    async with GuardedClient([server.host], **more) as client:
        return await client.request("GET", server.url + path, headers=headers)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("10.1.2.3", "private"),
        ("fd00::1", "private"),
        ("169.254.169.254", "metadata"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("::ffff:127.0.0.1", "transition"),
        ("2002:7f00:1::1", "transition"),
        ("2001:0:1::1", "transition"),
        ("64:ff9b::7f00:1", "transition"),
        ("not an address", "strange"),
    ],
)
async def test_a_name_that_leads_to_such_an_address_is_refused(address, kind):
    said = await refusal("https://innocent.example/", resolve=leading_to(address))

    assert said == f"innocent.example leads to a {kind} address"


async def test_one_bad_address_among_good_ones_is_enough_to_refuse():
    said = await refusal("https://a.example/", resolve=leading_to("1.1.1.1", "127.0.0.1"))

    assert "loopback" in said


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://127%2e0.0.1/",
        "https://１２７.0.0.1/",
        "https://①②⑦.0.0.1/",
        "https://user:secret@api.linear.app/",
        "https://api.linear.app\\@127.0.0.1/",
        "http://api.linear.app/",
        "ftp://api.linear.app/",
        "file:///etc/passwd",
        "api.linear.app",
        "https://",
        "https:///path",
        "https://a b/",
    ],
)
async def test_an_address_that_shows_it_by_itself_is_refused(url):
    assert await refusal(url)


async def test_a_refusal_does_not_tell_where_a_name_leads():
    said = await refusal("https://db.example/", resolve=leading_to("10.20.30.40"))

    assert "10.20.30.40" not in said


async def test_an_allowed_host_is_reached_by_http_with_its_own_name():
    async with running(Server(lambda _: reply(200, b"hello"))) as server:
        name = f"tracker.lan:{server.port}"
        async with GuardedClient([name], resolve=leading_to("127.0.0.1")) as client:
            answer = await client.request("GET", f"http://{name}/x?y=1")

    assert (answer.status, answer.body) == (200, b"hello")
    assert server.asked[0].headers["host"] == name
    assert server.asked[0].path == "/x?y=1"


async def test_an_allowed_port_opens_no_other_port():
    async with running(Server(lambda _: reply())) as server:
        assert await refusal(server.url, f"127.0.0.1:{server.port + 1}")

    assert server.asked == []


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1"])
async def test_allowing_a_host_opens_private_networks_and_nothing_worse(address):
    assert await refusal("http://tracker.lan/", "tracker.lan", resolve=leading_to(address))


async def test_a_name_is_resolved_once_and_connected_to_where_it_led():
    """Between the look and the leap, the name could lead elsewhere."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def resolve(host, port):
        return answers.pop(0)

    async with running(Server(lambda _: reply(200, b"first"))) as server:
        name = f"tracker.lan:{server.port}"
        async with GuardedClient([name], resolve=resolve) as client:
            answer = await client.request("GET", f"http://{name}/")

    assert answer.body == b"first"
    assert answers == [["169.254.169.254"]]


async def test_a_dead_address_is_passed_over_for_the_next():
    async with running(Server(lambda _: reply(200, b"second"))) as server:
        name = f"tracker.lan:{server.port}"
        resolve = leading_to("127.0.0.2", "127.0.0.1")
        async with GuardedClient([name], resolve=resolve) as client:
            answer = await client.request("GET", f"http://{name}/")

    assert answer.body == b"second"


async def test_nobody_there_is_a_failure():
    async with running(Server(lambda _: reply())) as server:
        pass
    with pytest.raises(Failed):
        await get(server)
    async with GuardedClient(resolve=leading_to()) as client:
        with pytest.raises(Failed):
            await client.request("GET", "https://gone.example/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for `tracker.lan` alone, and contexts that serve and trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tracker.lan")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("tracker.lan")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(file)
    serves.asked_names = []
    serves.sni_callback = lambda _, name, context: serves.asked_names.append(name)
    return serves, ssl.create_default_context(cafile=file)


async def test_by_https_the_name_is_checked_though_an_address_is_connected_to(certificate):
    serves, trust = certificate
    async with running(Server(lambda _: reply(200, b"secret")), ssl=serves) as server:
        hosts = ["tracker.lan", "other.lan"]
        resolve = leading_to("127.0.0.1")
        async with GuardedClient(hosts, resolve=resolve, trust=trust) as client:
            answer = await client.request("GET", f"https://tracker.lan:{server.port}/")
            with pytest.raises(Failed):
                await client.request("GET", f"https://other.lan:{server.port}/")
        async with GuardedClient(hosts, resolve=resolve) as client:
            with pytest.raises(Failed):
                await client.request("GET", f"https://tracker.lan:{server.port}/")

    assert answer.body == b"secret"
    assert serves.asked_names[0] == "tracker.lan"
    assert server.asked[0].headers["host"] == f"tracker.lan:{server.port}"


async def test_redirects_are_followed_up_to_three():
    def answer(asked):
        steps = int(asked.path.removeprefix("/"))
        return reply(302, Location=f"/{steps - 1}") if steps else reply(200, b"there")

    async with running(Server(answer)) as server:
        reached = await get(server, "/3")
        with pytest.raises(Failed, match="redirects"):
            await get(server, "/4")

    assert reached.body == b"there"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://localhost/",
        "https://[::1]/",
        "http://api.linear.app/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "//2130706433/",
        "https://user:pw@api.linear.app/",
        "http://[",
    ],
)
async def test_every_redirect_is_judged(location):
    async with running(Server(lambda _: reply(302, Location=location))) as server:
        with pytest.raises(Refused):
            await get(server)


async def test_credentials_stay_with_the_host_they_are_for():
    headers = {"Authorization": "Bearer x", "X-Api-Key": "y", "Cookie": "z=1", "Accept": "a/b"}
    async with (
        running(Server(lambda _: reply(200))) as other,
        running(Server(lambda _: reply(302, Location="/again"))) as server,
    ):
        server.answer = lambda asked: reply(
            302, Location="/again" if asked.path == "/" else other.url
        )
        async with GuardedClient([server.host, other.host]) as client:
            await client.request("GET", server.url, headers=headers)

    again, there = server.asked[1].headers, other.asked[0].headers
    assert (again["authorization"], again["x-api-key"]) == ("Bearer x", "y")
    assert not {"authorization", "x-api-key", "cookie"} & set(there)
    assert there["accept"] == "a/b"


async def test_a_body_is_not_carried_to_another_host():
    async with (
        running(Server(lambda _: reply(200))) as other,
        running(Server(lambda _: reply(307, Location=other.url))) as server,
        GuardedClient([server.host, other.host]) as client,
    ):
        with pytest.raises(Refused, match="body"):
            await client.request("POST", server.url, content=b"{}")

    assert other.asked == []


async def test_a_post_that_is_sent_elsewhere_becomes_a_get_or_stays_as_it_is():
    async with running(Server(None)) as server:
        server.answer = lambda asked: (
            reply(200) if asked.path == "/new" else reply(int(asked.path[1:]), Location="/new")
        )
        async with GuardedClient([server.host]) as client:
            for status in (303, 302, 307):
                await client.request("POST", f"{server.url}/{status}", content=b"{}")

    assert [(each.method, each.body) for each in server.asked if each.path == "/new"] == [
        ("GET", b""),
        ("GET", b""),
        ("POST", b"{}"),
    ]


async def test_cookies_are_not_kept():
    server = Server(lambda _: reply(200, Set_Cookie="a=1; Path=/"))
    async with running(server), GuardedClient([server.host]) as client:
        await client.request("GET", server.url)
        await client.request("GET", server.url)

    assert "cookie" not in server.asked[1].headers


async def test_proxies_of_the_environment_have_no_say(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with running(Server(lambda _: reply(200, b"direct"))) as server:
        answer = await get(server)

    assert answer.body == b"direct"


@pytest.mark.parametrize("length", [True, False])
async def test_an_answer_is_read_up_to_the_limit(length):
    def answer(asked):
        body = b"x" * int(asked.path[1:])
        if length:
            return reply(200, body)
        chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk

    async with running(Server(answer)) as server:
        whole = await get(server, "/1048576")
        with pytest.raises(Failed, match="larger than 1048576 bytes"):
            await get(server, "/1048577")

    assert len(whole.body) == 1048576


async def test_a_compressed_answer_is_not_taken():
    async with running(Server(lambda _: reply(200, b"\x1f\x8b", Content_Encoding="gzip"))) as s:
        with pytest.raises(Failed, match="compressed"):
            await get(s)

    assert s.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("size", [40_000, 400_000])
async def test_large_headers_are_not_taken(size):
    async with running(Server(lambda _: reply(200, X_Large="x" * size))) as server:
        with pytest.raises(Failed):
            await get(server)


async def test_a_slow_answer_ends_with_the_time():
    """However it dawdles: before the first byte, between bytes, or from redirect to redirect."""

    async def silent(asked):
        await asyncio.sleep(5)
        return b""

    async def around(asked):
        await asyncio.sleep(0.15)
        return reply(302, Location="/")

    async def dripping(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        while not writer.is_closing() and not reader.at_eof():
            writer.write(b"x")
            await asyncio.sleep(0.05)
        writer.close()

    for server in (Server(silent), Server(around)):
        async with running(server):
            with pytest.raises(Failed, match="no answer within"):
                await get(server, total_seconds=0.3)
    server = Server(None)
    server.serve = dripping
    async with running(server):
        with pytest.raises(Failed, match="no answer within"):
            await get(server, total_seconds=0.3)


async def test_what_is_not_http_is_a_failure():
    async with running(Server(lambda _: b"220 mail.example ESMTP\r\n\r\n")) as server:
        with pytest.raises(Failed):
            await get(server)
