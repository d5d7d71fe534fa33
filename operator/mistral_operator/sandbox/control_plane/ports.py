"""Free TCP ports on loopback, outside the range that the kernel hands to outgoing connections."""

import random
import socket

# Linux gives outgoing connections 32768–60999, macOS and IANA 49152–65535: below both, nothing takes a port between our
# look and the server's bind, except another server.
FIRST, LAST = 20_000, 32_000
ATTEMPTS = 200


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now. Raises OSError when none was found."""
    for _ in range(ATTEMPTS):
        port = random.randrange(FIRST, LAST)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port found between {FIRST} and {LAST} on {host}")
