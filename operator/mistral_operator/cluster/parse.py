"""JSON of the API server's. It takes in what Python does not: values nested thousands of levels deep, half characters,
and bytes that are no text at all.
"""

import json
import re
from typing import Any, Final

_DEEPEST: Final = 200
"""Levels that are read. What Kubernetes itself means something by has some dozens."""
_TOKENS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]')


def parse_json(text: bytes) -> Any:
    """The value, with null for what is nested too deep and a mark for what is no character. Raises ValueError for what
    isn't JSON.

    The data of a ControllerRevision is kept byte by byte as somebody wrote it, and so are the levels of managedFields,
    up to 10,000 of them.
    """
    try:
        value = json.loads(text.decode(errors="replace"))
    except RecursionError:
        value = json.loads(prune(text).decode(errors="replace"))
    if b"\\ud" in text or b"\\uD" in text:
        # Half of a surrogate pair can be parsed, but not be written again.
        value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    return value


def prune(text: bytes) -> bytes:
    """The same JSON with null in place of each list and object below the deepest level."""
    kept: list[bytes] = []
    depth = start = 0
    for found in _TOKENS.finditer(text):
        token = found[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth == _DEEPEST + 1:
                kept += (text[start : found.start()], b"null")
        elif token in (b"]", b"}"):
            if depth == _DEEPEST + 1:
                start = found.end()
            depth -= 1
    return b"".join((*kept, text[start:]))
