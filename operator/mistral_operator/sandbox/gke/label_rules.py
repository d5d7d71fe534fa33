"""What GKE accepts as a node's labels and taints, and Google Cloud as labels of a resource."""

import re
from typing import Any

from google.cloud import container_v1

from .errors import invalid

RESOURCE_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
RESOURCE_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
NODE_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
MOST_RESOURCE_LABELS = 64

Effect = container_v1.NodeTaint.Effect


def check_labels(labels: Any) -> None:
    """Kubernetes label values."""
    for key, value in labels.items():
        if not NODE_LABEL_VALUE.fullmatch(value):
            raise invalid(f'Invalid node label "{key}": "{value}" is not a valid Kubernetes label value.')


def check_taints(taints: Any) -> None:
    """Taints have a key and an effect, and no pair of those twice."""
    seen = set()
    for taint in taints:
        if not taint.key or taint.effect == Effect.EFFECT_UNSPECIFIED:
            raise invalid(f'Invalid node taint "{taint.key}": key and effect are required.')
        if (taint.key, taint.effect) in seen:
            raise invalid(f'Invalid node taint "{taint.key}": key and effect must be unique.')
        seen.add((taint.key, taint.effect))


def check_resource_labels(labels: Any) -> None:
    """Google Cloud's labels: lower case, digits, _ and -, at most 63 characters, at most 64 of them."""
    if len(labels) > MOST_RESOURCE_LABELS:
        raise invalid(f"Too many resource labels: {len(labels)}, at most {MOST_RESOURCE_LABELS}.")
    for key, value in labels.items():
        if not RESOURCE_LABEL_KEY.fullmatch(key):
            raise invalid(
                f'Invalid resource label key "{key}": up to 63 lower-case letters, digits, _ and -, a letter first.'
            )
        if not RESOURCE_LABEL_VALUE.fullmatch(value):
            raise invalid(
                f'Invalid resource label value "{value}" of "{key}": up to 63 lower-case letters, digits, _ and -.'
            )
