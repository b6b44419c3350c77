"""The settings of what goes out."""

import pytest

from settings import Settings, SettingsError

KEY = {"LINEAR_API_KEY": "lin_api_1", "LINEAR_API_KEY_ORG": "org_1"}


@pytest.mark.parametrize("name", KEY)
def test_the_key_and_its_organization_come_together(name):
    with pytest.raises(SettingsError, match="must be set together"):
        Settings.from_environment({name: KEY[name]})

    found = Settings.from_environment(KEY)

    assert found.linear_api_key_org == "org_1"
    assert "lin_api_1" not in repr(found)


def test_linear_is_asked_by_https_unless_its_host_is_allowed():
    http = {"LINEAR_API_URL": "http://tracker.lan:8080/graphql"}
    with pytest.raises(SettingsError, match="LINEAR_API_URL must be https"):
        Settings.from_environment(http)

    for allowed in ("tracker.lan", "other, tracker.lan:8080"):
        Settings.from_environment({**http, "RENSEI_ALLOWED_PRIVATE_HOSTS": allowed})
    Settings.from_environment(
        {"LINEAR_API_URL": "http://[::1]:80/", "RENSEI_ALLOWED_PRIVATE_HOSTS": "[::1]"}
    )
    Settings.from_environment({"LINEAR_API_URL": "https://tracker.example/graphql"})


def test_github_is_asked_by_https_unless_its_host_is_allowed():
    http = {"GITHUB_API_URL": "http://ghe.lan/api/v3"}
    with pytest.raises(SettingsError, match="GITHUB_API_URL must be https"):
        Settings.from_environment(http)

    found = Settings.from_environment({**http, "RENSEI_ALLOWED_PRIVATE_HOSTS": "ghe.lan"})

    assert found.github_api_url == "http://ghe.lan/api/v3"


@pytest.mark.parametrize("hosts", ["http://tracker.lan", "a/b", "*", "10.0.0.0/8", "a b", "a:b"])
def test_hosts_are_names_or_addresses_with_or_without_a_port(hosts):
    with pytest.raises(SettingsError, match="RENSEI_ALLOWED_PRIVATE_HOSTS"):
        Settings.from_environment({"RENSEI_ALLOWED_PRIVATE_HOSTS": hosts})
