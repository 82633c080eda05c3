"""Which server a client talks to, and by which way."""

import sys

import pytest

import ziet
from ziet import _context
from ziet._client.server import Proxy, Server

FILE = """
default = "shop.example.com"

[servers."shop.example.com"]
url = "https://shop.example.com"
key = "sk_shop"

[servers.test]
url = "http://127.0.0.1:7878"
key = "sk_test"
project = "billing"
"""


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("ZIET_SERVER", "ZIET_API_KEY", _context.RUN_VARIABLE, "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def kept(tmp_path):
    pytest.importorskip("tomllib")
    (tmp_path / "ziet").mkdir()
    (tmp_path / "ziet" / "servers.toml").write_text(FILE)
    return tmp_path / "ziet" / "servers.toml"


def found(url=None, key=None, project=None):
    server = Server(url, key, project, 60)
    return server.url, *[line.partition(": ")[2] for line in server.headers.splitlines()[1:]]


def test_what_is_given_goes_before_variables_and_those_before_what_is_kept(monkeypatch, kept):
    assert found() == ("https://shop.example.com", "Api-Key sk_shop")
    assert found("test") == ("http://127.0.0.1:7878", "Api-Key sk_test", "billing")
    assert found("http://127.0.0.1:7878/") == ("http://127.0.0.1:7878", "Api-Key sk_test", "billing")
    assert found("https://shop.example.com:443", project="a") == ("https://shop.example.com", "Api-Key sk_shop", "a")
    monkeypatch.setenv("ZIET_SERVER", "test")
    assert found(key="sk_1") == ("http://127.0.0.1:7878", "Api-Key sk_1", "billing")
    monkeypatch.setenv("ZIET_SERVER", "https://a.example.com")
    monkeypatch.setenv("ZIET_API_KEY", "sk_2")
    assert found() == ("https://a.example.com", "Api-Key sk_2")
    assert found("http://b", "sk_3") == ("http://b", "Api-Key sk_3")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no server is known: `ziet login URL` keeps one"),
        ({"url": "http://a"}, "there is no key for http://a: `ziet login http://a` keeps one, or set ZIET_API_KEY"),
        ({"url": "shop", "key": "k"}, r"no server of the name 'shop' \(there are: none\); give a URL"),
        ({"url": "ftp://a", "key": "k"}, "the server 'ftp://a' is no URL of one"),
        ({"url": "http://[::1", "key": "k"}, "is no URL"),
        ({"url": "http://a:99999", "key": "k"}, "is no URL"),
        ({"url": "http://k@a", "key": "k"}, "more than an address and a path"),
        ({"url": "http://a\r\nX: y", "key": "k"}, "is no URL"),
        ({"url": "http://a", "key": "k\r\nX: y"}, "the key has characters that none has"),
        ({"url": "http://a", "key": "k", "project": "ä"}, "the project has characters that none has"),
    ],
)
def test_what_is_wrong_is_told(given, said):
    with pytest.raises(ziet.ClientError, match=said) as raised:
        ziet.Client(**given)
    assert raised.value.code == "client_settings"


def test_a_broken_file_is_told(kept):
    kept.write_text("default = ")
    with pytest.raises(ziet.ClientError, match=r"servers.toml is broken: .*; put that right"):
        ziet.Client()


def test_without_a_reader_of_toml_it_is_told_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "ziet").mkdir()
    (tmp_path / "ziet" / "servers.toml").write_text(FILE)
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    with pytest.raises(ziet.ClientError, match=r"cannot read .*servers.toml: install tomli \(`pip install tomli`\)"):
        ziet.Client()
    # Where nothing is read, nothing is missing.
    assert found("http://a", "k") == ("http://a", "Api-Key k")


@pytest.mark.parametrize("url", [None, "test"])
def test_inside_a_run_nothing_is_known_but_what_is_given(monkeypatch, kept, url):
    monkeypatch.setenv("ZIET_SERVER", "http://a")
    monkeypatch.setenv("ZIET_API_KEY", "k")
    monkeypatch.setenv(_context.RUN_VARIABLE, "some run")
    with pytest.raises(ziet.ClientError, match="inside a run no server is known but what is given"):
        found(url)
    assert found("http://b", "k2") == ("http://b", "Api-Key k2")


@pytest.mark.parametrize(
    ("url", "address", "headers"),
    [
        ("http://127.0.0.1:7878", ("127.0.0.1", 7878), "Host: 127.0.0.1:7878\r\n"),
        ("https://Shop.example.com/ziet/", ("shop.example.com", 443), "Host: shop.example.com\r\n"),
        ("http://[::1]:7878", ("::1", 7878), "Host: [::1]:7878\r\n"),
        ("https://bücher.example", ("xn--bcher-kva.example", 443), "Host: xn--bcher-kva.example\r\n"),
    ],
)
def test_an_address_is_made_of_a_url(url, address, headers):
    server = Server(url, "k", None, 60)
    assert (server.address, server.headers.startswith(headers)) == (address, True)
    assert server.prefix == ("/ziet" if "ziet" in url else "")


def test_proxies_are_those_of_the_variables(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://ada:p%40ss@proxy.example:3128")
    monkeypatch.setenv("https_proxy", "proxy.example:3129")
    monkeypatch.setenv("no_proxy", "localhost,.internal")
    plain = Server("http://shop.example/x", "k", None, 60)
    assert (plain.address, plain.prefix, plain.tunnel) == (("proxy.example", 3128), "http://shop.example/x", b"")
    assert "Proxy-Authorization: Basic YWRhOnBAc3M=\r\n" in plain.headers
    encrypted = Server("https://shop.example/x", "k", None, 60)
    assert (encrypted.proxy, encrypted.prefix) == (Proxy("proxy.example", 3129, ""), "/x")
    assert encrypted.tunnel == b"CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n"
    for url in ("http://localhost", "http://shop.internal"):
        assert Server(url, "k", None, 60).proxy is None
    monkeypatch.setenv("http_proxy", "socks5://proxy.example")
    with pytest.raises(ziet.ClientError, match="only http:// proxies can"):
        Server("http://shop.example", "k", None, 60)


def test_a_timeout_is_a_time():
    with pytest.raises(ValueError, match="timeout must be a number of seconds above 0, got 0"):
        ziet.Client("http://a", "k", timeout=0)


def test_the_certificates_are_loaded_once_and_only_where_they_are_needed():
    assert Server("http://a", "k", None, 60).tls is None
    server = Server("https://a", "k", None, 60)
    assert server.tls is server.tls is not None
