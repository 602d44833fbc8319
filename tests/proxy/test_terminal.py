from __future__ import annotations

import os
import pty
import subprocess
import sys

PROGRAM = """
import os, sys, signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # this test may itself run under nohup
from guard.proxy.terminal import Terminal
{before}
terminal = Terminal()
signal.signal(signal.SIGHUP, lambda *_: None)
print(terminal.closed(), flush=True)
sys.stdin.readline()
print(terminal.closed(), flush=True)
"""


def on_a_terminal(before: str = "") -> tuple[str, str]:
    """What a process says of its terminal before and after that is closed."""
    master, slave = pty.openpty()
    code = f"import fcntl, termios; fcntl.ioctl({slave}, termios.TIOCSCTTY, 0)\n" + PROGRAM.format(before=before)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[slave],
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        first = process.stdout.readline().strip()
        os.close(slave)
        os.close(master)
        process.stdin.write("go on\n")
        process.stdin.flush()
        second = process.stdout.readline().strip()
        process.stdin.close()
        assert process.wait(30) == 0
    return first, second


def test_a_terminal_that_is_closed_is_noticed() -> None:
    assert on_a_terminal() == ("False", "True")


def test_under_nohup_it_does_not_matter() -> None:
    assert on_a_terminal("signal.signal(signal.SIGHUP, signal.SIG_IGN)") == ("False", "False")


def test_where_there_is_no_terminal_none_is_closed() -> None:
    code = PROGRAM.format(before="")
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="\n",
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["False", "False"], done.stderr
