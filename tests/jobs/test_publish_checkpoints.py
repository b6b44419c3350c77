"""Checkpoints leave the server: posted to whoever keeps them, and stamped by an authority."""

import base64
import subprocess
from dataclasses import replace

import pytest

from jobs.publish_checkpoints import post_checkpoints, stamp_checkpoints
from settings import Settings, SettingsError, use
from tests import chains
from tests.outbound.servers import Server, reply, running

CHECKPOINT = "/api/audit/checkpoint"

CONFIGURATION = """
[req]
distinguished_name = name
[name]
[tsa]
extendedKeyUsage = critical, timeStamping
[ts]
default_tsa = tsa_config
[tsa_config]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


class Authority:
    """A time-stamping authority, made with openssl."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "conf").write_text(CONFIGURATION.format(folder=folder))
        (folder / "serial").write_text("01\n")
        key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        self.openssl(
            f"req -x509 -config conf -subj /CN=root -days 9 {key} -keyout root.key -out root.pem"
            " -addext basicConstraints=critical,CA:TRUE"
        )
        self.openssl(f"req -config conf -subj /CN=authority {key} -keyout tsa.key -out tsa.csr")
        self.openssl(
            "x509 -req -in tsa.csr -CA root.pem -CAkey root.key -CAcreateserial -days 9"
            " -extfile conf -extensions tsa -out tsa.pem"
        )

    def openssl(self, words):
        subprocess.run(
            ["openssl", *words.split()], cwd=self.folder, check=True, capture_output=True
        )

    def answer(self, query):
        (self.folder / "query").write_bytes(query)
        self.openssl(
            "ts -reply -config conf -section tsa_config -queryfile query"
            " -inkey tsa.key -signer tsa.pem -out answer"
        )
        return (self.folder / "answer").read_bytes()

    def vouches(self, text, answer):
        """What openssl says of a time stamp, as anybody can ask it."""
        (self.folder / "text").write_bytes(text)
        (self.folder / "given").write_bytes(answer)
        self.openssl("ts -verify -data text -in given -CAfile root.pem")
        return True


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def sealed(make, run_job):
    """Everything is sealed, and nothing but this test's chain is left to publish."""

    async def seal():
        await chains.seal_all()
        await make.owner.execute(
            "update audit_checkpoints set posted_at = now(), stamped_at = now()"
            " where workspace_id <> %s",
            (make.org_id,),
        )

    return seal


@pytest.fixture
def using(given):
    """Run with other settings than the rest of the tests."""

    def change(server, **settings):
        use(replace(given, allowed_private_hosts=(server.host,), **settings))

    yield change
    use(given)


async def test_each_chains_newest_checkpoint_is_posted_once(make, sealed, run_job, using):
    await sealed()
    async with running(Server(lambda _: reply(204))) as keeper:
        using(keeper, audit_post_url=f"{keeper.url}/in")
        counts = [await run_job(post_checkpoints) for _ in range(2)]

    (asked,) = keeper.asked
    point = (await make.org.get(CHECKPOINT)).json()
    assert counts == [1, 0]
    assert (asked.method, asked.path) == ("POST", "/in")
    assert asked.headers["content-type"] == "text/plain; charset=utf-8"
    assert asked.body.decode() == point["checkpoint"]


async def test_a_checkpoint_that_nobody_took_is_posted_again(make, sealed, run_job, using, caplog):
    await sealed()
    answers = [reply(500), reply(200)]
    async with running(Server(lambda _: answers.pop(0))) as keeper:
        using(keeper, audit_post_url=keeper.url)
        counts = [await run_job(post_checkpoints) for _ in range(3)]

    assert counts == [0, 1, 0]
    assert len(keeper.asked) == 2
    assert "RENSEI_AUDIT_POST_URL took no checkpoint: answered 500" in caplog.text


async def test_nothing_leaves_unless_somebody_asked_for_it(sealed, run_job):
    await sealed()

    assert [await run_job(job) for job in (post_checkpoints, stamp_checkpoints)] == [0, 0]


async def test_an_authority_stamps_a_checkpoint_at_most_so_often(
    make, sealed, run_job, using, authority
):
    await sealed()
    async with running(Server(lambda asked: reply(200, authority.answer(asked.body)))) as server:
        roots = authority.folder / "root.pem"
        using(server, timestamp_url=f"{server.url}/tsr", timestamp_roots=roots)
        unstamped = await make.org.get(f"{CHECKPOINT}?stamped=true")
        first = await run_job(stamp_checkpoints)
        await make.key()
        await chains.seal_all()
        again = await run_job(stamp_checkpoints)

    (asked,) = server.asked
    point = (await make.org.get(f"{CHECKPOINT}?stamped=true")).json()
    assert asked.headers["content-type"] == "application/timestamp-query"
    assert unstamped.status_code == 404
    assert (first, again) == (1, 0)
    assert authority.vouches(point["checkpoint"].encode(), base64.b64decode(point["timeStamp"]))


async def test_a_stamp_that_the_roots_do_not_vouch_for_is_not_kept(
    make, sealed, run_job, using, authority, tmp_path, caplog
):
    await sealed()
    other = Authority(tmp_path)
    stale = authority.answer(_query(authority))
    answers = {
        "of another authority": lambda asked: reply(200, other.answer(asked.body)),
        "of another request": lambda _: reply(200, stale),
        "no time stamp": lambda _: reply(200, b"nonsense"),
        "a failure": lambda _: reply(503),
    }
    for answer in answers.values():
        async with running(Server(answer)) as server:
            using(
                server,
                timestamp_url=server.url,
                timestamp_roots=authority.folder / "root.pem",
            )
            assert await run_job(stamp_checkpoints) == 0

    rows = await chains.fetch(make.owner, chains.CHECKPOINTS, make.org_id)
    assert {row.time_stamp for row in rows} == {None}
    assert caplog.text.count("RENSEI_TIMESTAMP_URL gave no time stamp") == len(answers)


def _query(authority):
    """A request for a time stamp of something else."""
    (authority.folder / "other").write_text("other")
    authority.openssl("ts -query -data other -sha256 -cert -out other.tsq")
    return (authority.folder / "other.tsq").read_bytes()


async def test_roots_that_cannot_be_read_are_said_so(sealed, run_job, using, tmp_path, caplog):
    await sealed()
    async with running(Server(lambda _: reply(200))) as server:
        using(server, timestamp_url=server.url, timestamp_roots=tmp_path / "nowhere")

        assert await run_job(stamp_checkpoints) == 0

    assert "RENSEI_TIMESTAMP_ROOTS cannot be read" in caplog.text
    assert server.asked == []


@pytest.mark.parametrize("name", ["RENSEI_AUDIT_POST_URL", "RENSEI_TIMESTAMP_URL"])
def test_addresses_are_https_unless_their_host_is_allowed(name):
    given = {name: "http://keeper.lan/", "RENSEI_TIMESTAMP_ROOTS": "/r.pem"}
    if name == "RENSEI_AUDIT_POST_URL":
        del given["RENSEI_TIMESTAMP_ROOTS"]
    with pytest.raises(SettingsError, match=f"{name} must be https"):
        Settings.from_environment(given)

    Settings.from_environment({**given, "RENSEI_ALLOWED_PRIVATE_HOSTS": "keeper.lan"})


@pytest.mark.parametrize(
    "alone",
    [
        {"RENSEI_TIMESTAMP_URL": "https://tsa.example/"},
        {"RENSEI_TIMESTAMP_ROOTS": "/etc/tsa.pem"},
    ],
)
def test_an_authority_and_its_roots_come_together(alone):
    with pytest.raises(SettingsError, match="must be set together"):
        Settings.from_environment(alone)
