"""The messages of a chat: OpenAI's JSON in, plain texts by role out. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from .refusal import Refusal, invalid, quote, unsupported

Role = Literal["system", "user", "assistant"]
ROLES: Final[Mapping[str, Role]] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
KEYS: Final = frozenset({"role", "content", "prefix"})
# What OpenAI's own client sends back of an earlier answer, empty.
EMPTY: Final[tuple[object, ...]] = (None, [], "", {})


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Several texts are the parts that it was sent in."""

    role: Role
    texts: tuple[str, ...]
    prefix: bool = False
    """An assistant's message that the answer goes on from."""


def read_messages(value: object) -> list[Message] | Refusal:
    """The whole conversation, or the first refusal. In which order the roles may come is the template's matter."""
    if not isinstance(value, list) or not value:
        return invalid("messages", "write a list of at least one message", "missing_required_parameter")
    messages = []
    for index, item in enumerate(value):
        message = _read_message(item, f"messages[{index}]")
        if isinstance(message, Refusal):
            return message
        messages.append(message)
    return messages


def count_texts(value: object) -> int:
    """How many texts the messages have, whatever they are; of what is no list, none."""
    if not isinstance(value, list):
        return 0
    contents = (item.get("content") if isinstance(item, dict) else None for item in value)
    return sum(max(1, len(content)) if isinstance(content, list) else 1 for content in contents)


def _read_message(item: object, where: str) -> Message | Refusal:
    if not isinstance(item, dict):
        return invalid(where, 'write an object like {"role": "user", "content": "…"}')
    role = item.get("role")
    if role in ("tool", "function"):
        return unsupported(f"{where}.role", role, "no model on JetStream calls tools, so it takes no results of them")
    if not isinstance(role, str) or role not in ROLES:
        return invalid(f"{where}.role", f"{quote(role)} is none of {', '.join(ROLES)}")
    for key, extra in item.items():
        if key not in KEYS and extra not in EMPTY:
            return unsupported(f"{where}.{key}", extra, "Mistral's templates have no place for it; leave it away")
    texts = _read_content(item.get("content"), f"{where}.content")
    if isinstance(texts, Refusal):
        return texts
    prefix = item.get("prefix") or False
    if not isinstance(prefix, bool) or (prefix and role != "assistant"):
        return invalid(f"{where}.prefix", "write true or false, and only in a message of the assistant")
    return Message(ROLES[role], texts, prefix)


def _read_content(content: object, where: str) -> tuple[str, ...] | Refusal:
    if isinstance(content, str):
        return (content,)
    if not isinstance(content, list) or not content:
        return invalid(where, 'write a text, or a list of parts like {"type": "text", "text": "…"}')
    texts = []
    for index, part in enumerate(content):
        text = _read_part(part, f"{where}[{index}]")
        if isinstance(text, Refusal):
            return text
        texts.append(text)
    return tuple(texts)


def _read_part(part: Any, where: str) -> str | Refusal:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return invalid(where, 'write a part like {"type": "text", "text": "…"}')
    if part["type"] != "text":
        return unsupported(f"{where}.type", part["type"], "no model on JetStream takes anything but text")
    text = part.get("text")
    return text if isinstance(text, str) else invalid(f"{where}.text", "write a text")
