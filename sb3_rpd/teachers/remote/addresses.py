"""Which addresses only this machine reaches."""

import ipaddress


def is_loopback(host: str) -> bool:
    """:return: Whether only this machine reaches an address: "localhost" or a loopback IP address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
