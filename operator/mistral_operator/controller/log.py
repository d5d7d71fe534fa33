"""Logs: one JSON object a line for machines, plain text on a terminal; each line says what was being worked on."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

_SUBJECT: ContextVar[tuple[str, str] | None] = ContextVar("subject", default=None)

_QUIET: Final = {
    "kopf": logging.WARNING,
    "kopf._core.reactor.running": logging.ERROR,  # It warns that it doesn't handle signals: we do.
    "kopf.objects": logging.ERROR,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "grpc": logging.WARNING,
}


@contextmanager
def working_on(what: str, key: object) -> Iterator[None]:
    """Marks the log lines within: `what` is the queue's name, `key` a name or a (namespace, name)."""
    name = "/".join(part for part in key if part) if isinstance(key, tuple) else str(key)
    token = _SUBJECT.set((what, name))
    try:
        yield
    finally:
        _SUBJECT.reset(token)


def configure_logging(*, verbose: bool = False, as_json: bool | None = None) -> None:
    """Sends all logs to standard error; JSON unless that is a terminal or `as_json` says otherwise."""
    handler = logging.StreamHandler(sys.stderr)
    structured = not sys.stderr.isatty() if as_json is None else as_json
    handler.setFormatter(JsonFormatter() if structured else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)


class JsonFormatter(logging.Formatter):
    """Fields as Google Cloud's logging reads them: severity, time, message."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "logger": record.name,
            "message": record.getMessage(),
        }
        subject = _SUBJECT.get()
        if subject is not None:
            line[subject[0]] = subject[1]
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """For people: time, level, what was being worked on, message."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback below it if there is one."""
        subject = _SUBJECT.get()
        about = f"{subject[1]}: " if subject else ""
        when = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        line = f"{when} {record.levelname:<7} {about}{record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
