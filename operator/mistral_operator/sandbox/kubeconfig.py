"""Kubeconfigs: read into what a client needs, and written for the sandbox's identities."""

import base64
import json
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach an API server, and as whom. Certificates and keys are PEM; a field is None where it isn't used."""

    server: str
    ca_pem: str | None = None
    client_certificate_pem: str | None = None
    client_key_pem: str | None = None
    token: str | None = None

    def ssl_context(self) -> ssl.SSLContext | None:
        """A context for https servers; None for plain http."""
        if not self.server.startswith("https://"):
            return None
        context = ssl.create_default_context(cadata=self.ca_pem)
        if self.client_certificate_pem and self.client_key_pem:
            # The standard library loads a certificate chain from files only.
            with tempfile.TemporaryDirectory(prefix="mistral-sandbox-") as directory:
                certificate, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
                certificate.write_text(self.client_certificate_pem)
                key.touch(mode=0o600)
                key.write_text(self.client_key_pem)
                context.load_cert_chain(certificate, key)
        return context


def read_kubeconfig(path: Path) -> Access:
    """The access of the kubeconfig's current context. Raises ValueError where it names something it doesn't hold."""
    config = yaml.safe_load(path.read_text()) or {}
    context = _named(config, "contexts", config.get("current-context"), path)["context"]
    cluster = _named(config, "clusters", context.get("cluster"), path)["cluster"]
    user = _named(config, "users", context.get("user"), path)["user"]
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        ca_pem=_pem(cluster, "certificate-authority", path),
        client_certificate_pem=_pem(user, "client-certificate", path),
        client_key_pem=_pem(user, "client-key", path),
        token=user.get("token"),
    )


def write_kubeconfig(path: Path, access: Access, *, name: str = "mistral-sandbox", namespace: str = "default") -> Path:
    """Write a kubeconfig that holds everything inline, readable by its owner only; replaces it atomically."""
    cluster = {"server": access.server} | _data("certificate-authority-data", access.ca_pem)
    user = _data("client-certificate-data", access.client_certificate_pem) | _data(
        "client-key-data", access.client_key_pem
    )
    if access.token:
        user["token"] = access.token
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
    }
    write_private(path, yaml.safe_dump(config, sort_keys=False))
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, atomically: readers see the old text or the new one."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Like `write_private`, for a JSON document."""
    write_private(path, json.dumps(value, indent=2) + "\n")


def _named(config: dict[str, Any], kind: str, name: str | None, path: Path) -> dict[str, Any]:
    for entry in config.get(kind) or []:
        if entry.get("name") == name:
            return dict(entry)
    raise ValueError(f"{path}: no entry named {name!r} in {kind}")


def _pem(entry: dict[str, Any], field: str, path: Path) -> str | None:
    if data := entry.get(f"{field}-data"):
        return base64.b64decode(str(data)).decode()
    if file := entry.get(field):
        return path.parent.joinpath(str(file)).read_text()
    return None


def _data(field: str, pem: str | None) -> dict[str, str]:
    return {field: base64.b64encode(pem.encode()).decode()} if pem else {}
