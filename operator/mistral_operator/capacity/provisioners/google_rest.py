"""Plain requests to Google's REST services, with the default credentials; the simulated ones take none.

Not Google's client: decision 0015 says why. Each call is tried once, with a deadline, and answers an object or raises a
`CloudError` in the cloud's own words.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import google.auth
import google.auth.exceptions
import google.auth.transport.requests

from mistral_operator.capacity.errors import CloudError, PermissionDeniedError, UnavailableError, classify

DEADLINE_S: Final = 15.0
COMPUTE: Final = "https://compute.googleapis.com"
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
}
Json = dict[str, Any]


class GoogleRest:
    """A session that logs in when it is first used, and again when its token has run out."""

    def __init__(self, endpoint: str = "", deadline_s: float = DEADLINE_S) -> None:
        """`endpoint` empty is Google, with the default credentials; `http://host:port` is a simulated one, without."""
        self._endpoint = endpoint.rstrip("/")
        self._deadline_s = deadline_s
        self._session: aiohttp.ClientSession | None = None
        self._credentials: Any = None
        self._logging_in = asyncio.Lock()

    @property
    def identity(self) -> str:
        """The service account that asks; empty for a person, and before it has logged in."""
        return str(getattr(self._credentials, "service_account_email", "") or "")

    @property
    def headers(self) -> Mapping[str, str]:
        """What says who asks, and whose quota of requests it counts against; nothing before it has logged in."""
        if self._credentials is None:
            return {}
        quota_project = getattr(self._credentials, "quota_project_id", None)
        return {
            "Authorization": f"Bearer {self._credentials.token}",
            **({"X-Goog-User-Project": quota_project} if quota_project else {}),
        }

    def base(self, service: str = COMPUTE) -> str:
        """Where the service is reached: `service` itself unless all of them are simulated."""
        return self._endpoint or service

    async def log_in(self) -> None:
        """Get a token where there is none that is good. Raises CloudError."""
        async with self._logging_in:
            if self._endpoint or (self._credentials is not None and getattr(self._credentials, "valid", True)):
                return
            try:
                async with asyncio.timeout(self._deadline_s):
                    self._credentials = await asyncio.to_thread(_refresh, self._credentials)
            except google.auth.exceptions.TransportError as error:
                raise UnavailableError(str(error), verbatim=False) from error
            except google.auth.exceptions.GoogleAuthError as error:
                raise PermissionDeniedError(str(error), verbatim=False) from error
            except TimeoutError as error:
                raise UnavailableError(f"no credentials within {self._deadline_s:g} s", verbatim=False) from error

    async def send(self, verb: str, url: str, **content: Any) -> Json:
        """The answer to one request, given as aiohttp takes it. Raises CloudError."""
        await self.log_in()
        where = urlsplit(url).netloc
        try:
            async with self._open().request(verb, url, headers=self.headers, **content) as answer:
                if answer.status >= 400:
                    raise _refusal(where, answer.status, await answer.text())
                body = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            why = str(error) or f"nothing came within {self._deadline_s:g} s"
            raise UnavailableError(f"no answer from {where}: {why}", verbatim=False) from error
        if not isinstance(body, dict):
            raise UnavailableError(f"the answer from {where} is no object: {str(body)[:200]}", verbatim=False)
        return body

    async def close(self) -> None:
        """Let go of connections."""
        if self._session:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._deadline_s)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=not self._endpoint)
        return self._session


def _refresh(known: Any) -> Any:
    """The default credentials with a token. Blocks."""
    credentials = known or google.auth.default(scopes=_SCOPES)[0]
    credentials.refresh(google.auth.transport.requests.Request())
    return credentials


def _refusal(where: str, status: int, text: str) -> CloudError:
    """The error in Google's JSON, or in whatever a proxy in between wrote, which is not Google's word."""
    code = _STATUSES.get(status, "UNAVAILABLE")
    try:
        return classify(code, str(json.loads(text)["error"]["message"]))
    except (ValueError, KeyError, TypeError):
        return classify(code, f"HTTP {status} from {where}: {text[:500]}".removesuffix(": "), verbatim=False)
