"""Addresses of servers: which of them only this machine reaches, which are IPv6, and which are reached through a proxy."""

import ipaddress
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

# Whose proxies serve for which websockets, the first one first, as the websockets package has it
_PROXY_NAMES = {"ws": ("ws", "socks", "https", "http"), "wss": ("wss", "socks", "https")}


def is_loopback(host: str) -> bool:
    """:return: Whether only this machine reaches an address: "localhost" or a loopback IP address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(without_brackets(host)).is_loopback
    except ValueError:
        return False


def without_brackets(host: str) -> str:
    """:return: A host's name or IP address without the brackets that an IPv6 address has in a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def in_url(host: str) -> str:
    """:return: A host's name or IP address as it is written in a URL: an IPv6 address in brackets."""
    host = without_brackets(host)
    return f"[{host}]" if ":" in host else host


def family_of(host: str) -> socket.AddressFamily:
    """:return: ``AF_INET6`` for an IPv6 address, and for a name that has no other one; ``AF_INET`` else."""
    host = without_brackets(host)
    if ":" in host:
        return socket.AF_INET6
    try:
        families = {found[0] for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        # whoever connects says that there is no such name
        return socket.AF_INET
    return socket.AF_INET6 if families == {socket.AF_INET6} else socket.AF_INET


def proxy_of(url: str) -> str | None:
    """
    :param url: Address of a websocket.
    :return: The proxy through which the environment's variables (or the system's settings) want it to be reached, None if
        directly. A proxy cannot reach this machine's own loopback addresses.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    if is_loopback(host) or proxy_bypass(f"{host}:{port}"):
        return None
    proxies = getproxies()
    name = next((name for name in _PROXY_NAMES[parts.scheme] if name in proxies), None)
    if name is None:
        return None
    proxy = proxies[name]
    return proxy.replace("http://", "socks5h://", 1) if name == "socks" else proxy


def without_password(url: str) -> str:
    """:return: An address for a message."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
