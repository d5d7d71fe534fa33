"""Which containers' programs the sandbox has a stand-in for.

`STAND_INS` is tried in order, and the first that knows the program decides. Another program's stand-in is a function
of its own module and one line here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import jetstream, vllm_programs
from .calls import Call, Program, Refused
from .environment import expand

Object = dict[str, Any]
Recogniser = Callable[[Call], Program | Refused | None]

STAND_INS: Final[tuple[Recogniser, ...]] = (
    vllm_programs.serve,
    vllm_programs.multi_node_leader,
    vllm_programs.multi_node_worker,
    jetstream.maxtext,
    jetstream.pytorch,
    jetstream.gateway,
    # Last: what none of them knew.
    vllm_programs.refuse_other_uses,
)


def recognise(container: Object, values: Mapping[str, str], address: str = "") -> Program | Refused | None:
    """What to run for a container with this environment, of the pod that listens on `address`; None for a program that
    the sandbox doesn't have.
    """
    command, args = (
        tuple(expand(word, dict(values)) for word in container.get(part) or []) for part in ("command", "args")
    )
    call = Call(container["image"], command, args, values, address)
    return next((found for stand_in in STAND_INS if (found := stand_in(call))), None)
