"""Rules for maps of labels that users write: keys of their own, and such that Kubernetes takes."""

import re
from typing import Final

from mistral_operator.api.common import Rule
from mistral_operator.api.names import GROUP

NAME: Final = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
DOMAIN: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_PATTERN: Final = f"^({DOMAIN}/)?{NAME}$"
"""A label's key as Kubernetes takes it; the domain also has a longest length."""
_LONGEST_DOMAIN: Final = 253


def free_of_our_keys(part: str, field: str, attribute: str) -> Rule:
    """No key of `part.field` is the operator's own."""
    return Rule(
        f"!has(self.{field}) || self.{field}.all(key, !key.startsWith('{GROUP}/'))",
        f"{part}.{field}: keys of {GROUP} belong to the operator; remove them, or choose a key of your own domain, such"
        " as example.com/team",
        lambda value: not any(key.startswith(f"{GROUP}/") for key in getattr(value, attribute)),
    )


def well_formed_keys(part: str, field: str, attribute: str) -> Rule:
    """Every key of `part.field` can be one of a label."""
    return Rule(
        f"!has(self.{field}) || self.{field}.all(key, key.matches('{_PATTERN}')"
        f" && key.indexOf('/') <= {_LONGEST_DOMAIN})",
        f"{part}.{field}: a key is a name of at most 63 letters, digits, -, _ and ., after a domain and a slash or"
        " without them; write a key such as team or example.com/team",
        lambda value: all(
            re.fullmatch(_PATTERN, key) and key.find("/") <= _LONGEST_DOMAIN for key in getattr(value, attribute)
        ),
    )
