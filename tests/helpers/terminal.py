"""A command on a terminal of its own, as a person starts it."""

import contextlib
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

_SHELL = "import os, sys; os.login_tty(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
_CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs a command; what it writes is in `text`.

    Args:
        command: program and arguments.
        folder: where it works.
        lines: of the terminal, 100 columns wide.
        environment: of the command.
    """

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str], lines: int = 30):
        self._ours, theirs = os.openpty()
        self.resize(lines, 100)
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SHELL, str(theirs), *command], cwd=folder, env=environment, pass_fds=[theirs]
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with open(self._ours, "rb", buffering=0, closefd=False) as file, contextlib.suppress(OSError):  # EIO is its end
            while data := file.read(65536):
                self.text += data.decode(errors="replace")

    def resize(self, lines: int, columns: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Press keys; "\\x03" is Ctrl-C."""
        os.write(self._ours, keys.encode())

    def wait(self, timeout_s: float) -> int:
        """The exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join()
        os.close(self._ours)
        return code

    def plain(self) -> str:
        """The text without terminal codes."""
        return _CODE.sub("", self.text)

    def rest(self) -> list[str]:
        """The lines that stay on the screen: those after the last one that was erased, without terminal codes."""
        return [line.rstrip() for line in _CODE.sub("", self.text.rpartition("\x1b[2K")[2]).splitlines()]

    def shows_cursor(self) -> bool:
        """Whether the cursor, if it was ever hidden, is shown again."""
        return self.text.rfind("\x1b[?25h") >= self.text.rfind("\x1b[?25l")
