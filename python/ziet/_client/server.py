"""Which server a client talks to, with which key, and by which way: what it is given, else the variables, else what
`ziet login` has kept."""

from __future__ import annotations

import base64
import functools
import importlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ziet import _context
from ziet._client.errors import ClientError

if TYPE_CHECKING:
    import ssl

    from ziet._client.http import Incoming

_PORTS = {"http": 80, "https": 443}
_LOGIN = "`ziet login URL` keeps one, or set ZIET_SERVER and ZIET_API_KEY, or write ziet.Client(url, key)"


class Proxy(NamedTuple):
    """What connections go through."""

    host: str
    port: int
    authorization: str
    """A header for it, empty if it wants none."""


class Server:
    """A server, and what is known of it. Shared by all requests of a client.

    Raises:
        ClientError: No server or no key is known, or what is said of them is wrong.
        ValueError: The timeout is none.
    """

    def __init__(self, url: str | None, key: str | None, project: str | None, timeout: float) -> None:
        if not timeout > 0:
            raise ValueError(f"timeout must be a number of seconds above 0, got {timeout!r}")
        url, key, project = _found(url, key, project)
        self.url, scheme, self.authority, host, port, self.prefix = _parsed(url)
        self.host = host
        self.port = port
        self.timeout = timeout
        """Seconds for which the client goes on trying."""
        self.has_answered = False
        """Whether it has ever answered this client: then it is the right one, and comes back if it is away."""
        self.encrypted = scheme == "https"
        self.proxy = _proxy(scheme, host)
        lines = [f"Host: {self.authority}", f"Authorization: Api-Key {_written('key', key)}"]
        if project is not None:
            lines.append(f"Ziet-Project: {_written('project', project)}")
        if self.proxy and not self.encrypted:
            self.prefix = self.url
            if self.proxy.authorization:
                lines.append(self.proxy.authorization)
        self.headers = "".join(f"{line}\r\n" for line in lines)

    @property
    def address(self) -> tuple[str, int]:
        """Where connections go to."""
        return (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)

    @property
    def tunnel(self) -> bytes:
        """What a proxy is asked for before encryption begins; empty where there is none."""
        if not (self.proxy and self.encrypted):
            return b""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [f"CONNECT {host}:{self.port} HTTP/1.1", f"Host: {host}:{self.port}", self.proxy.authorization]
        return "".join(f"{line}\r\n" for line in [*filter(None, lines), ""]).encode("latin-1")

    def check_tunnel(self, answer: Incoming) -> None:
        """Raises OSError unless the proxy has made the connection."""
        if answer.status != 200:
            raise OSError(f"the proxy {self.address[0]}:{self.address[1]} refused with status {answer.status}")

    @functools.cached_property
    def tls(self) -> ssl.SSLContext | None:
        """With the certificates that this machine trusts, or those of SSL_CERT_FILE; None for plain HTTP."""
        if not self.encrypted:
            return None
        import ssl

        return ssl.create_default_context()


def _found(url: str | None, key: str | None, project: str | None) -> tuple[str, str, str | None]:
    """What is not given, from where it is kept. A run is shut in: it knows nothing but what its code says."""
    inside = _context.run is not None or _context.RUN_VARIABLE in os.environ
    if inside and (url is None or key is None):
        raise _unknown("inside a run no server is known but what is given: write ziet.Client(url, key)")
    url = url or os.environ.get("ZIET_SERVER") or None
    key = key or (None if inside else os.environ.get("ZIET_API_KEY")) or None
    if not inside and (url is None or "://" not in url or key is None):
        kept = _kept(url)
        url = kept.get("url", url)
        key = key or kept.get("key")
        project = project or kept.get("project")
    if url is None:
        raise _unknown(f"no server is known: {_LOGIN}")
    if key is None:
        raise _unknown(f"there is no key for {url}: `ziet login {url}` keeps one, or set ZIET_API_KEY")
    return url, key, project


def _kept(said: str | None) -> dict[str, str]:
    """What `ziet login` has kept of a server, by its name or its URL; of the usual one if none is said."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    file = os.path.join(folder, "ziet", "servers.toml")
    try:
        with open(file, "rb") as opened:
            text = opened.read().decode()
    except OSError:
        text = ""
    document = _toml(text, file) if text else {}
    servers: dict[str, dict[str, str]] = document.get("servers", {})
    name = document.get("default") if said is None else said
    if name is None or name in servers:
        return servers.get(name, {}) if name else {}
    if "://" not in name:
        names = ", ".join(servers) or "none"
        raise _unknown(f"`ziet login` has kept no server of the name {name!r} (there are: {names}); give a URL")
    url = _parsed(name)[0]
    nothing: dict[str, str] = {}
    return next((kept for kept in servers.values() if kept.get("url") == url), nothing)


def _toml(text: str, file: str) -> dict[str, Any]:
    try:
        toml = _toml_reader()
    except ImportError:
        raise _unknown(
            f"Python 3.10 cannot read {file}: install tomli (`pip install tomli`), use Python 3.11 or later, "
            "or set ZIET_SERVER and ZIET_API_KEY"
        ) from None
    try:
        return toml.loads(text)
    except ValueError as error:
        raise _unknown(f"{file} is broken: {error}; put that right, or remove it and use `ziet login` again") from None


def _toml_reader() -> Any:
    try:
        return importlib.import_module("tomllib")
    except ImportError:
        return importlib.import_module("tomli")


def _parsed(url: str) -> tuple[str, str, str, str, int, str]:
    """A URL in its one form, and its scheme, authority, host, port and path."""
    example = "give a URL such as https://shop.example.com or http://127.0.0.1:7878"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _unknown(f"the server {url!r} is no URL ({error}): {example}") from None
    if parts.scheme not in _PORTS or not host or not url.isprintable() or " " in url:
        raise _unknown(f"the server {url!r} is no URL of one: {example}")
    if parts.username is not None or parts.query or parts.fragment:
        raise _unknown(f"the URL of the server has more than an address and a path: {example}, and the key beside it")
    usual = _PORTS[parts.scheme]
    # As it goes over the wire: names may have any letters.
    host = host if host.isascii() else host.encode("idna").decode()
    authority = f"[{host}]" if ":" in host else host
    authority += f":{port}" if port not in (None, usual) else ""
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{authority}{path}", parts.scheme, authority, host, port or usual, path


def _written(what: str, value: str) -> str:
    if not (value.isascii() and value.isprintable()) or value != value.strip() or not value:
        raise _unknown(f"the {what} has characters that none has: pass it as it was shown")
    return value


def _proxy(scheme: str, host: str) -> Proxy | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    # Slow to import, and hardly ever needed.
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    url = proxies.get(scheme) or proxies.get("all")
    if not url or proxy_bypass(host):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise _unknown(f"the proxy {parts.scheme}://{parts.hostname} cannot be used: only http:// proxies can")
    authorization = ""
    if parts.username is not None:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Proxy-Authorization: Basic {base64.b64encode(known.encode()).decode()}"
    return Proxy(parts.hostname, parts.port or 80, authorization)


def _unknown(text: str) -> ClientError:
    return ClientError(text, code="client_settings")
