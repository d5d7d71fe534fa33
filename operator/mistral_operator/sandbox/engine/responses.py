"""OpenAI's response bodies for both completion endpoints. Pure."""

from collections.abc import Sequence
from typing import Any

from .answer import Answer
from .requests import Request
from .settings import EngineSettings

Body = dict[str, Any]


def usage(request: Request, answers: Sequence[Answer]) -> Body:
    """Token counts, as the stand-in counts."""
    completion = sum(len(answer.pieces) for answer in answers)
    return {
        "prompt_tokens": request.prompt_tokens,
        "total_tokens": request.prompt_tokens + completion,
        "completion_tokens": completion,
    }


def whole(identifier: str, created: int, request: Request, answers: Sequence[Answer]) -> Body:
    """The body of a request that isn't streamed."""
    return {
        "id": identifier,
        "object": "chat.completion" if request.chat else "text_completion",
        "created": created,
        "model": request.model,
        "choices": [_choice(index, answer, chat=request.chat) for index, answer in enumerate(answers)],
        "usage": usage(request, answers),
    }


def chunk(identifier: str, created: int, request: Request, choices: list[Body]) -> Body:
    """One event of a stream."""
    return {
        "id": identifier,
        "object": "chat.completion.chunk" if request.chat else "text_completion",
        "created": created,
        "model": request.model,
        "choices": choices,
    }


def opening(index: int) -> Body:
    """The first choice delta of a streamed chat."""
    return {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}


def delta(index: int, answer: Answer, position: int, *, chat: bool) -> Body:
    """The choice delta for one piece; the last one carries the reason for the end."""
    text = answer.pieces[position] if position < len(answer.pieces) else ""
    last = position + 1 >= len(answer.pieces)
    choice: Body = {"index": index, "delta": {"content": text}} if chat else {"index": index, "text": text}
    return choice | {
        "logprobs": None,
        "finish_reason": answer.finish_reason if last else None,
        "stop_reason": answer.stop_reason if last else None,
    }


def models(settings: EngineSettings, created: int) -> Body:
    """The base model under each of its names, then the adapters."""
    base = [
        _model(name, created, root=settings.model, parent=None) | {"max_model_len": settings.context_length}
        for name in settings.served_names
    ]
    adapters = [
        _model(adapter.name, created, root=adapter.path, parent=settings.served_names[0])
        for adapter in settings.adapters
    ]
    return {"object": "list", "data": base + adapters}


def _model(name: str, created: int, *, root: str, parent: str | None) -> Body:
    return {"id": name, "object": "model", "created": created, "owned_by": "vllm", "root": root, "parent": parent}


def _choice(index: int, answer: Answer, *, chat: bool) -> Body:
    content: Body = {"message": {"role": "assistant", "content": answer.text}} if chat else {"text": answer.text}
    ending = {"logprobs": None, "finish_reason": answer.finish_reason, "stop_reason": answer.stop_reason}
    return {"index": index} | content | ending
