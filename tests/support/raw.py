"""Requests whose body is what the test says, byte by byte: no JSON writer would make them."""

from pathlib import Path

import aiohttp

from mistral_operator.sandbox.kubeconfig import read_kubeconfig


async def create_raw(kubeconfig: Path, path: str, body: bytes) -> None:
    """POST to a collection; AssertionError with the API server's words unless the object is made."""
    access = read_kubeconfig(kubeconfig)
    headers = {"Content-Type": "application/json"}
    if access.token:
        headers["Authorization"] = f"Bearer {access.token}"
    tls = access.ssl_context() or True
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(access.server + path, data=body, ssl=tls) as answer,
    ):
        assert answer.status == 201, await answer.text(errors="replace")
