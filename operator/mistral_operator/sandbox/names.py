"""Pods' DNS names for what the sandbox starts: a file that looks like /etc/hosts, since no cluster DNS runs here.

The dial map writes it, the kubelet stand-in tells its programs where it is (STAND_IN_HOSTS), and they read it anew for
each look-up: a pod that comes again has another address.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mistral_operator.sandbox.kubeconfig import write_private

CLUSTER_DOMAIN = "cluster.local"


def candidates(host: str, namespace: str | None) -> Iterator[str]:
    """The full names that a host may stand for, in the order of a pod's search domains."""
    name = host.rstrip(".")
    yield name
    if namespace:
        yield f"{name}.{namespace}.svc.{CLUSTER_DOMAIN}"
    yield f"{name}.svc.{CLUSTER_DOMAIN}"
    yield f"{name}.{CLUSTER_DOMAIN}"


def write_hosts(path: Path, names: Mapping[str, str]) -> None:
    """Write all names with their addresses; readers see the old file or the new one."""
    write_private(path, "".join(f"{address} {name}\n" for name, address in names.items()))


def find_host(path: Path, host: str, namespace: str | None) -> str | None:
    """The address of a name as seen from a namespace; None where nobody has it, or nothing was written yet."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return None
    addresses = {name: address for address, name in lines}
    return next((addresses[name] for name in candidates(host, namespace) if name in addresses), None)
