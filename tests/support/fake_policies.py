"""A stand-in for Compute Engine's resource policies, in memory."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.support.claim_cases import policy_of
from tests.support.kills import Kills

from mistral_operator.capacity.errors import AlreadyExistsError, CloudError, NotFoundError, classify
from mistral_operator.capacity.policies import PolicySpec, PolicyView


@dataclass
class FakePolicies:
    """A stand-in for Compute Engine's resource policies. `placing`: names of those by which something is placed."""

    kills: Kills
    placing: Callable[[], Iterable[str]] = tuple
    policies: dict[str, PolicyView] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    refusals: dict[str, list[CloudError]] = field(default_factory=dict)
    """Call → errors for the next such calls."""
    lost: dict[str, int] = field(default_factory=dict)
    """Call → so many next answers get lost although the call takes effect."""

    async def list_policies(self) -> tuple[PolicyView, ...]:
        self._refuse("list")
        return tuple(self.policies.values())

    async def find_policy(self, name: str) -> PolicyView | None:
        self._refuse("get")
        return self.policies.get(name)

    async def create_policy(self, spec: PolicySpec) -> None:
        self._refuse("create")
        if spec.name in self.policies:
            raise AlreadyExistsError(f"The resource '{spec.name}' already exists")
        self.kills.about_to()
        self.policies[spec.name] = policy_of(spec)
        self._did("create")

    async def delete_policy(self, name: str) -> None:
        self._refuse("delete")
        if name not in self.policies:
            raise NotFoundError(f"The resource '{name}' was not found")
        if name in self.placing():
            words = f"The resource_policy resource '{name}' is already being used by 'instanceGroupManagers/x'"
            raise classify("INVALID_ARGUMENT", words)
        self.kills.about_to()
        del self.policies[name]
        self._did("delete")

    async def close(self) -> None:
        self.policies.clear()

    def _refuse(self, call: str) -> None:
        self.calls.append(call)
        if self.refusals.get(call):
            raise self.refusals[call].pop(0)

    def _did(self, call: str) -> None:
        self.kills.did()
        if self.lost.get(call):
            self.lost[call] -= 1
            raise classify("UNAVAILABLE", "socket closed")
