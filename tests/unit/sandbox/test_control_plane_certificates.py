"""Certificates that the strictest client accepts, kubeconfigs that round-trip, ports that are free."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from mistral_operator.sandbox.control_plane.certificates import Authority, KeyPair
from mistral_operator.sandbox.control_plane.ports import free_port
from mistral_operator.sandbox.kubeconfig import Access, read_kubeconfig, write_kubeconfig


def server_context(directory: Path, pair: KeyPair, client_authority: Authority) -> ssl.SSLContext:
    pair.write(directory, "server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=client_authority.certificate_pem)
    context.load_cert_chain(directory / "server.crt", directory / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    # What Python 3.13 does by default.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def test_a_strict_handshake_succeeds_both_ways(tmp_path: Path) -> None:
    authority = Authority("test-ca")
    client = authority.client("alice", ["system:masters"])
    access = Access("https://127.0.0.1", authority.certificate_pem, client.certificate_pem, client.key_pem)
    context = access.ssl_context()
    assert context
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    listener = socket.create_server(("127.0.0.1", 0))
    server = server_context(tmp_path, authority.server("server", ["127.0.0.1", "localhost"]), authority)
    subjects: list[object] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with server.wrap_socket(connection, server_side=True) as tls:
            certificate = tls.getpeercert()
            subjects.append(certificate["subject"] if certificate else None)
            tls.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    with (
        socket.create_connection(listener.getsockname()) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        assert tls.recv(5) == b"hello"
    thread.join()
    listener.close()
    assert subjects == [((("organizationName", "system:masters"),), (("commonName", "alice"),))]


def test_a_kubeconfig_round_trips_and_is_private(tmp_path: Path) -> None:
    authority = Authority("test-ca")
    pair = authority.client("alice")
    access = Access("https://127.0.0.1:1", authority.certificate_pem, pair.certificate_pem, pair.key_pem)
    path = write_kubeconfig(tmp_path / "kubeconfig", access)
    assert read_kubeconfig(path) == access
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_kubeconfig_may_name_files(tmp_path: Path) -> None:
    tmp_path.joinpath("ca.crt").write_text("PEM")
    tmp_path.joinpath("config").write_text(
        """
        current-context: c
        contexts: [{name: c, context: {cluster: k, user: u}}]
        clusters: [{name: k, cluster: {server: "https://k:1/", certificate-authority: ca.crt}}]
        users: [{name: u, user: {token: t}}]
        """
    )
    assert read_kubeconfig(tmp_path / "config") == Access("https://k:1", "PEM", token="t")


def test_a_kubeconfig_without_its_context_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("config").write_text("current-context: gone\n")
    with pytest.raises(ValueError, match="no entry named 'gone' in contexts"):
        read_kubeconfig(tmp_path / "config")


def test_free_ports_can_be_bound() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port
        assert 20_000 <= port < 32_000
