"""Which loopback address stands for which pod.

A pod's address in the API is 10.a.b.c (EndpointSlices refuse loopback addresses); its process listens on 127.a.b.c.
Several sandboxes may run on one machine and all their engines listen on port 8000, so each takes a /16 block of its own
and holds it by a listening socket, which the operating system takes back however the sandbox ends.
"""

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from mistral_operator.sandbox.names import CLUSTER_DOMAIN, candidates, write_hosts

FIRST_BLOCK, LAST_BLOCK = 64, 126
GUARD_PORT = 48731


class NoFreeBlockError(RuntimeError):
    """Every /16 block is held by another sandbox of this machine."""


def listening_address(pod_ip: str) -> str:
    """127.a.b.c for a pod's 10.a.b.c. Raises ValueError for any other address."""
    address = ipaddress.IPv4Address(pod_ip)
    first, rest = pod_ip.split(".", 1)
    if first != "10":
        raise ValueError(f"{address} is no pod address of this sandbox: those begin with 10.")
    return f"127.{rest}"


class DialMap:
    """Unique pod addresses, and the way from an address or a pod's DNS name to where its process listens.

    Use it as a context manager, or call `close`, to give the block back. `hosts` is a file that always holds the names
    for the programs that the sandbox starts; None writes none.
    """

    def __init__(self, blocks: Iterable[int] = range(FIRST_BLOCK, LAST_BLOCK + 1), hosts: Path | None = None) -> None:
        self.hosts = hosts
        self.block, self._guard = _take_block(blocks)
        self._used: set[str] = set()
        self._names: dict[str, str] = {}
        self._hosts = self._cycle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the block back to other sandboxes."""
        self._guard.close()

    def allocate(self) -> str:
        """A pod address that nobody has; a released one comes back as late as possible."""
        for _ in range(256 * 254):
            candidate = next(self._hosts)
            if candidate not in self._used:
                self._used.add(candidate)
                return candidate
        raise NoFreeBlockError(f"all addresses of 10.{self.block}.0.0/16 are taken")

    def adopt(self, pod_ip: str) -> None:
        """Keep an address that a pod already has in its status."""
        self._used.add(pod_ip)

    def release(self, pod_ip: str) -> None:
        """The pod is gone: its address and the names that lead to it are free."""
        self._used.discard(pod_ip)
        kept = {name: address for name, address in self._names.items() if address != pod_ip}
        if len(kept) < len(self._names):
            self._names = kept
            self._write_names()

    def name_pod(self, namespace: str, hostname: str, subdomain: str, pod_ip: str) -> None:
        """Give a pod the DNS name that a headless Service gives it."""
        self._names[f"{hostname}.{subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}"] = pod_ip
        self._write_names()

    def dial(self, host: str, namespace: str | None = None) -> str:
        """Where to connect for a pod's address or name, as seen from a namespace; any other host is given back."""
        found = (self._names[name] for name in candidates(host, namespace) if name in self._names)
        address = next(found, host)
        return listening_address(address) if address.startswith("10.") else address

    def _write_names(self) -> None:
        if self.hosts:
            write_hosts(self.hosts, {name: listening_address(ip) for name, ip in self._names.items()})

    def _cycle(self) -> Iterator[str]:
        while True:
            for third in range(256):
                for fourth in range(1, 255):
                    yield f"10.{self.block}.{third}.{fourth}"


def _take_block(blocks: Iterable[int]) -> tuple[int, socket.socket]:
    for block in blocks:
        guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # .255 is never given to a pod.
            guard.bind((f"127.{block}.255.255", GUARD_PORT))
            guard.listen(1)
        except OSError:
            guard.close()
        else:
            return block, guard
    raise NoFreeBlockError("every block of pod addresses is held by another sandbox of this machine")
