"""Runs a module as `python -m` does, and ends it with the process that holds our standard input, however that one ends:

    python -m mistral_operator.sandbox.tether MODULE ARGUMENT…

For programs that know nothing of the sandbox. STAND_IN_STARTED_FD names a file descriptor that is closed at once.
"""

import os
import runpy
import sys
import threading


def main() -> None:
    """Return when the module does."""
    if descriptor := os.environ.get("STAND_IN_STARTED_FD"):
        os.close(int(descriptor))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    # Nobody ever writes there. Not sys.stdin: its lock would be in the way of the interpreter's own end.
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
