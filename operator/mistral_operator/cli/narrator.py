"""Lines with the time since the start, for commands that take a while; a terminal also shows what is awaited."""

import sys
import time
from typing import Final

from mistral_operator.cli.output import Style, is_terminal, paint, say, text_width

TOPIC_WIDTH: Final = 12
_CLEAR_LINE: Final = "\r\033[2K"


class Narrator:
    """Prints what happens. `await_` shows what is waited for; without a terminal it says nothing."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._live = is_terminal()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def tell(self, topic: str, text: str, style: Style = Style.PLAIN) -> None:
        """One line about something that has just happened."""
        self._clear()
        stamp = paint(f"{self.elapsed_s:6.1f} s", Style.QUIET)
        say(f"{stamp}  {topic.ljust(TOPIC_WIDTH)} {paint(text, style)}")

    def show_line(self, text: str) -> None:
        """One line that goes with the one before."""
        self._clear()
        say(text)

    def show(self, lines: list[str]) -> None:
        """A block of its own."""
        self._clear()
        say()
        for line in lines:
            say(line)
        say()

    def await_(self, text: str) -> None:
        """What is being waited for, on a line that the next one replaces."""
        if self._live:
            line = f"{self.elapsed_s:6.1f} s  {text}"[: text_width() - 1]
            sys.stdout.write(_CLEAR_LINE + paint(line, Style.QUIET))
            sys.stdout.flush()

    def _clear(self) -> None:
        if self._live:
            sys.stdout.write(_CLEAR_LINE)
