"""What a clone URL says of a repository on GitHub."""

import pytest

from domain.repositories import full_name, host_of_api, https_url


@pytest.mark.parametrize(
    ("api_url", "host"),
    [
        ("https://api.github.com", "github.com"),
        ("https://api.acme.ghe.com", "acme.ghe.com"),
        ("https://ghe.example/api/v3", "ghe.example"),
        ("http://127.0.0.1:8123", "127.0.0.1"),
    ],
)
def test_an_api_speaks_for_the_repositories_of_one_host(api_url, host):
    assert host_of_api(api_url) == host


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/billing",
        "https://github.com/acme/billing.git",
        "https://github.com/acme/billing/",
        "https://GitHub.com/acme/billing",
        "https://x-access-token@github.com/acme/billing",
        "https://github.com:443/acme/billing.git",
        "ssh://git@github.com/acme/billing.git",
        "ssh://git@github.com:22/acme/billing",
        "git@github.com:acme/billing.git",
        "github.com:acme/billing",
    ],
)
def test_a_repository_has_one_name_however_it_is_cloned(url):
    assert full_name(url, "github.com") == "acme/billing"
    assert https_url(url, "github.com") == "https://github.com/acme/billing.git"


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlab.com/acme/billing",
        "https://github.com.evil.example/acme/billing",
        "https://evil.example/github.com/acme/billing",
        "https://github.com@evil.example/acme/billing",
        "git@evil.example:github.com/acme/billing",
        "https://github.com/acme",
        "https://github.com/acme/",
        "https://github.com/acme/billing/tree/main",
        "https://github.com/acme/..",
        "https://github.com/../billing",
        "https://github.com/acme/bil ling",
        "https://github.com/acme/billing?x=1",
        "/srv/git/billing.git",
        "billing",
        "",
    ],
)
def test_what_lies_elsewhere_or_is_no_repository_has_none(url):
    assert full_name(url, "github.com") is None
