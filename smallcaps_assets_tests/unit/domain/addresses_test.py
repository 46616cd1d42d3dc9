import pytest

from smallcaps_assets.domain.addresses import check_base_url, check_notice_url, hide_users
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.repository import REPOSITORY

CONFIG = REPOSITORY / "config" / "config.yaml"
UNENCRYPTED, NO_ADDRESS = "would send the API key unencrypted", "is not the address of a vendor"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.massive.com",
        "https://api.massive.com:443/proxy/",
        "https://192.0.2.1",
        "https://[2001:db8::1]:8443",
        "http://localhost",
        "http://LOCALHOST:8900",
        "http://127.0.0.1:8900/prefix",
        "http://127.255.255.254",
        "http://[::1]:8900",
        "http://[::ffff:127.0.0.1]",
    ],
)
def test_a_key_may_be_sent_encrypted_or_on_this_machine(url: str) -> None:
    assert check_base_url(url) == url
    assert load_settings(CONFIG, {"source": {"base_url": url}}).source.base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.test/services/T0/B0?token=a%20b&thread=1",
        "https://[2001:db8::1]:8443/a",
        "http://localhost:8000/notices",
        "http://127.0.0.1?to=me@here.test",
    ],
)
def test_a_notice_may_be_posted_encrypted_or_on_this_machine(url: str) -> None:
    assert check_notice_url(url) == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://hooks.test/services", "unencrypted: give https://"),
        ("http://10.0.0.1/?secret", "unencrypted: give https://"),
        ("https://user:password@hooks.test/", "no user"),
        ("http://localhost\\@evil.com/", "is not an http"),
        ("http://localhost?@evil.com\n", "is not an http"),
        ("https://hooks.test/a b", "is not an http"),
        ("https://hooks.test:99999/", "is not an http"),
        ("ftp://localhost/", "is not an http"),
    ],
)
def test_a_notice_is_posted_nowhere_else(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_notice_url(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://api.massive.com", UNENCRYPTED),
        ("http://localhost.evil.com", UNENCRYPTED),
        ("http://evil-localhost", UNENCRYPTED),
        ("http://127.0.0.1.evil.com", UNENCRYPTED),
        ("http://0.0.0.0", UNENCRYPTED),
        ("http://10.0.0.1", UNENCRYPTED),
        ("http://128.0.0.1", UNENCRYPTED),
        ("http://2130706433", UNENCRYPTED),
        ("http://0x7f.0.0.1", UNENCRYPTED),
        ("http://0177.0.0.1", UNENCRYPTED),
        ("http://127.1", UNENCRYPTED),
        ("http://[::]", UNENCRYPTED),
        ("http://[::2]", UNENCRYPTED),
        ("http://[::ffff:10.0.0.1]", UNENCRYPTED),
        ("http://localhost@evil.com", NO_ADDRESS),
        ("https://u:p@api.massive.com", NO_ADDRESS),
        ("http://localhost\\@evil.com", NO_ADDRESS),
        ("http://localhost\\.evil.com", NO_ADDRESS),
        ("http://local\thost", NO_ADDRESS),
        ("http://localhost\n", NO_ADDRESS),
        (" https://api.massive.com", NO_ADDRESS),
        ("http://[::1%25eth0]", NO_ADDRESS),
        ("http://[::1", NO_ADDRESS),
        ("https://[127.0.0.1]", NO_ADDRESS),
        ("https://host:99999", NO_ADDRESS),
        ("https://host?apiKey=a", NO_ADDRESS),
        ("https://host#a", NO_ADDRESS),
        ("https://", NO_ADDRESS),
        ("ftp://localhost", NO_ADDRESS),
        ("api.massive.com", NO_ADDRESS),
        ("", NO_ADDRESS),
    ],
)
def test_a_key_is_sent_nowhere_else(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_base_url(url)
    with pytest.raises(SettingsError, match=problem) as caught:
        load_settings(CONFIG, {"source": {"base_url": url}})
    assert "source.base_url" in str(caught.value)
    assert "give https://" in str(caught.value)


def test_users_of_urls_are_hidden() -> None:
    text = "ProxyError: http://user:pa@ss/word@proxy:3128 and https://token@host/path, mail a@b"
    assert hide_users(text) == "ProxyError: http://***@proxy:3128 and https://***@host/path, mail a@b"
