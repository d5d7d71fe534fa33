"""HTML and SVG that are escaped unless made here: what a user wrote stays text, wherever it is put."""

from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"link", "meta"})


class Html(str):
    """Markup, made by `tag` or `join` alone; any other text is escaped where it is put into a tag."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: str | int) -> Html:
    """An element. Attributes are written `class_`, `aria_label`, `viewBox`; their values are escaped, too."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value), quote=True)}"' for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(content)}</{name}>")


def join(content: Iterable[str]) -> Html:
    """All parts one after the other; what isn't markup is escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(part, quote=True) for part in content))
