"""What `make wire` prints."""

from tests.acceptance.__main__ import log
from tests.acceptance.wire import Exchange, Journal


def exchange(line, said, sent=None):
    return Exchange(line, "one", "GET", "/api/x", sent, 200, said)


def test_the_log_masks_secrets_and_folds_what_repeats():
    polled = {"work": [], "hasInboxMessages": False}
    journal = Journal(
        [
            exchange("1", {"runtimeToken": "secret-one"}, {"key": "rsk_live_0123456789abcdef"}),
            *[exchange("4", polled) for _ in range(3)],
            exchange("4", {**polled, "work": [{"mcpAuthToken": "secret-two"}]}),
        ]
    )

    text = "\n".join(log(journal))

    assert "secret" not in text
    assert "0123456789" not in text
    assert "[    1]  register: any 2xx" in text
    assert text.count("GET /api/x") == 3
    assert "... and 2 more like it" in text
