"""Keeps the Events in the store few.

Whoever may create Events in a namespace can make any number of them that look like the cluster autoscaler's, and in a
cluster with many pending pods the autoscaler makes many itself.
"""

from collections import Counter
from typing import Final

from mistral_operator.cluster.kinds import EVENT, POD
from mistral_operator.cluster.store import Meta, Store
from mistral_operator.controller.observation import EVENTS_PER_POD, INVOLVED, UID

_OF_STRANGERS: Final = 2000
_SLACK: Final = 500
_STRANGERS: Final = ""


class EventBound:
    """Listens to the store, and keeps the latest `per_pod` Events of each of its pods, and of all others together the
    latest `of_strangers`: an Event may come before its pod does. `slack` is how many more may gather meanwhile.

    What was dropped comes back with its next change.
    """

    def __init__(
        self,
        store: Store,
        *,
        per_pod: int = EVENTS_PER_POD,
        of_strangers: int = _OF_STRANGERS,
        slack: int = _SLACK,
    ) -> None:
        self._events = store[EVENT]
        self._pods = store[POD]
        self._per_pod = per_pod
        self._of_strangers = of_strangers
        self._slack = slack
        self._sweep_above = of_strangers + slack
        self._events.listen(self._on_event)

    def _on_event(self, _old: Meta | None, new: Meta | None) -> None:
        if new is not None and len(self._events) > self._sweep_above:
            self._sweep()
            self._sweep_above = len(self._events) + self._slack

    def _sweep(self) -> None:
        metas = (meta for key in self._events.keys() if (meta := self._events.meta(key)))  # noqa: SIM118 - not a dict
        kept: Counter[str] = Counter()
        for meta in sorted(metas, key=lambda meta: meta.version, reverse=True):
            involved = meta.first(INVOLVED)
            pod = involved if self._pods.find_metas(UID, involved) else _STRANGERS
            kept[pod] += 1
            if kept[pod] > (self._per_pod if pod else self._of_strangers):
                self._events.remove(meta.key, meta.version)
