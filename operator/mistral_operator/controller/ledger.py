"""What each model has of its class's budget, remembered by this process, and who waits for more of it.

`core.sync` reads and writes it within one step of the event loop, so two models never get the same dollar. Nothing is
lost with the process: after a start each model's first look tells what its workloads have, and until all have been
looked at nobody gets more.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from heapq import merge
from typing import Any, Final

from mistral_operator.capacity.arbitration import Account, Budget, Contender, Rank
from mistral_operator.cluster.kinds import CLAIM, MODEL, POD
from mistral_operator.cluster.store import Key, Meta, Store
from mistral_operator.controller.observation import MODEL_NAME
from mistral_operator.core.serving_class import find_class

_NOTHING: Final = Decimal(0)
_MOST_WOKEN: Final = 16
"""So many of a line are looked at when something is free; the others learn of their place with the next resync."""


class Ledger:
    """Accounts by the class that a model names, which is empty for the default one. For the event loop only."""

    def __init__(self, store: Store, wake: Callable[[Key], None]) -> None:
        """`wake` is called with the models that may get more than before."""
        self._store = store
        self._wake = wake
        self._accounts: dict[Key, tuple[str, Account]] = {}
        self._held: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._waiting: defaultdict[str, list[Account]] = defaultdict(list)
        self._unknown: set[Key] | None = None
        """Models that were there at the start and haven't been looked at."""
        self._leaving: set[Key] = set()
        """Models that are gone, and pods or slices of theirs aren't."""
        store[MODEL].listen(self._on_model)
        store[POD].listen(self._on_end)
        store[CLAIM].listen(self._on_end)

    @property
    def complete(self) -> bool:
        """Whether all models' accounts are known."""
        if self._unknown is None:
            metas = map(self._store[MODEL].meta, self._store[MODEL].keys())
            self._unknown = {meta.key for meta in metas if meta and not meta.deleting} - self._accounts.keys()
        return not self._unknown

    def show(self, key: Key, named: str, classes: Iterable[Mapping[str, Any]]) -> Budget:
        """What the model may know of its class's budget."""
        groups = self._find_groups(named, tuple(classes))
        own = self._accounts.get(key)
        others = sum((self._held[group] for group in groups), _NOTHING)
        if own and own[0] in groups:
            others -= own[1].held
        lines = [self._waiting[group] for group in groups if self._waiting[group]]
        who = (key.namespace, key.name)
        waiting = (each for each in merge(*lines, key=_rank) if (each.who.namespace, each.who.name) != who)
        return Budget(others, tuple(waiting), own[1].held if own else None, self.complete)

    def record(self, key: Key, named: str, account: Account) -> None:
        """What the model has from now on, under the class that it names."""
        before = self._accounts.get(key)
        if before == (named, account):
            self._see(key)
            return
        self._strike(key)
        self._leaving.discard(key)
        self._accounts[key] = (named, account)
        self._held[named] += account.held
        if account.waits:
            insort(self._waiting[named], account, key=_rank)
        self._see(key)
        if before and (account.held < before[1].held or before[1].waits or before[0] != named):
            self._wake_lines()

    def give_up(self, key: Key) -> None:
        """The model can't be looked at: it counts with what it cost when it was, if that was before this process."""
        body = self._store[MODEL].get(key)
        if body is not None and key not in self._accounts and not self.complete:
            cost = _read_cost(body)
            named = str((body.get("spec") or {}).get("servingClassName") or "")
            self.record(key, named, Account(Contender(key.namespace, key.name), cost, cost))
        self._see(key)

    def _find_groups(self, named: str, classes: tuple[Mapping[str, Any], ...]) -> tuple[str, ...]:
        """All under which models of the same class have their accounts."""
        default = find_class(None, classes)
        name = str(default["metadata"]["name"]) if default else ""
        return ("", name) if name and named in ("", name) else (named,)

    def _see(self, key: Key) -> None:
        if self._unknown and key in self._unknown:
            self._unknown.discard(key)
            if not self._unknown:
                self._wake_lines()

    def _strike(self, key: Key) -> None:
        named, account = self._accounts.pop(key, ("", None))
        if account is None:
            return
        self._held[named] -= account.held
        if account.waits:
            line = self._waiting[named]
            del line[bisect_left(line, account.who.rank, key=_rank)]

    def _wake_lines(self) -> None:
        for line in self._waiting.values():
            for account in line[:_MOST_WOKEN]:
                self._wake(Key(account.who.namespace, account.who.name))

    def _on_model(self, old: Meta | None, new: Meta | None) -> None:
        gone = old.key if new is None and old else new.key if new and new.deleting else None
        if gone is None:
            return
        self._see(gone)
        known = self._accounts.get(gone)
        if known is None:
            return
        named, account = known
        if self._stands(gone):
            # It wants nothing any more, and pays as long as its pods and slices are there.
            self.record(gone, named, Account(account.who, account.held, account.held))
            self._leaving.add(gone)
        else:
            self._forget(gone)

    def _on_end(self, old: Meta | None, new: Meta | None) -> None:
        if new is not None or old is None or not self._leaving:
            return
        key = Key(*old.first(MODEL_NAME).partition("/")[::2])
        if key in self._leaving and not self._stands(key):
            self._forget(key)

    def _forget(self, key: Key) -> None:
        self._leaving.discard(key)
        self._strike(key)
        self._wake_lines()

    def _stands(self, key: Key) -> bool:
        """Whether something of the model is there that costs: a slice does until its claim is gone."""
        return any(self._store[kind].find_metas(MODEL_NAME, f"{key.namespace}/{key.name}") for kind in (POD, CLAIM))


def _rank(account: Account) -> Rank:
    return account.who.rank


def _read_cost(body: Mapping[str, Any]) -> Decimal:
    """What the status says; nothing where it says nothing that can be read."""
    try:
        return Decimal(str(((body.get("status") or {}).get("cost") or {}).get("hourly")))
    except InvalidOperation:
        return _NOTHING
