import socket

import pytest

from sb3_rpd.teachers.remote.addresses import (
    family_of,
    in_url,
    is_loopback,
    proxy_of,
    without_brackets,
    without_password,
)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("127.8.9.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("[::]", False),
        ("a.b", False),
    ],
)
def test_loopback(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "plain", "bracketed"),
    [
        ("::1", "::1", "[::1]"),
        ("[fe80::2]", "fe80::2", "[fe80::2]"),
        ("10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("gpu", "gpu", "gpu"),
    ],
)
def test_only_ipv6_addresses_have_brackets_in_urls(host, plain, bracketed):
    assert without_brackets(host) == plain
    assert in_url(host) == bracketed


def test_the_family_is_that_of_the_address_or_of_the_names_addresses(monkeypatch):
    assert family_of("::1") == family_of("[::1]") == socket.AF_INET6
    assert family_of("127.0.0.1") == family_of("no such name") == socket.AF_INET
    found = [(socket.AF_INET6,), (socket.AF_INET,)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **kwargs: found)
    assert family_of("both") == socket.AF_INET
    found.pop()
    assert family_of("ip6-gpu") == socket.AF_INET6


@pytest.fixture
def variables(monkeypatch):
    """An environment without proxies, in which some can be set."""
    for scheme in ("http", "https", "ws", "wss", "socks", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper()):
            monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("url", "settings", "proxy"),
    [
        ("ws://gpu:8000", {}, None),
        ("ws://gpu:8000", {"http_proxy": "http://p:1"}, "http://p:1"),
        ("wss://gpu", {"http_proxy": "http://p:1"}, None),
        ("wss://gpu", {"https_proxy": "http://p:2"}, "http://p:2"),
        ("ws://gpu:8000", {"http_proxy": "http://p:1", "socks_proxy": "socks5://p:3"}, "socks5://p:3"),
        ("ws://gpu:8000", {"socks_proxy": "http://p:3"}, "socks5h://p:3"),
        ("ws://gpu:8000", {"http_proxy": "http://p:1", "no_proxy": "gpu"}, None),
        ("ws://gpu:8000", {"http_proxy": "http://p:1", "no_proxy": "gpu:8001"}, "http://p:1"),
        ("ws://10.0.0.5:8000", {"http_proxy": "http://p:1", "no_proxy": "*"}, None),
        ("ws://127.0.0.1:8000", {"http_proxy": "http://p:1"}, None),
        ("ws://[::1]:8000", {"http_proxy": "http://p:1"}, None),
    ],
)
def test_the_environments_proxy_is_found(variables, url, settings, proxy):
    for name, value in settings.items():
        variables.setenv(name, value)
    assert proxy_of(url) == proxy


def test_passwords_are_not_shown():
    assert without_password("http://user:p@ss@proxy:3128") == "http://proxy:3128"
    assert without_password("http://proxy:3128") == "http://proxy:3128"
