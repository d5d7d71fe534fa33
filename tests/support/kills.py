"""The end of a process at a side effect that a test chooses."""

from dataclasses import dataclass


class Crash(BaseException):
    """The process ends here."""


@dataclass
class Kills:
    """Ends the process at the nth side effect: before it took effect, or after and before anybody heard of it."""

    before: int = 0
    after: int = 0
    effects: int = 0

    def about_to(self) -> None:
        self.effects += 1
        if self.effects == self.before:
            raise Crash

    def disarm(self) -> None:
        self.before = self.after = 0

    def did(self) -> None:
        if self.effects == self.after:
            raise Crash
