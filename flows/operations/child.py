"""A child process that ends with its parent, whatever ends that: `python -m flows.operations.child PARENT MODULE ...`.

Two means, since SIGKILL lets no parent clean up: on Linux the kernel kills the child when its parent ends
(PR_SET_PDEATHSIG); everywhere it ends itself when the pipe on its standard input, held by its parent alone, is closed.
"""

import ctypes
import logging
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_WAIT_S = 5.0


def start_child(module: str, arguments: Sequence[str], *, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """A Python module as a child process, which ends with this process or with the thread that called.

    Args:
        module: Run as `python -m` does.
        arguments: Its command line; visible to everybody on this machine, so without secrets.
        environment: All of its variables, but for those that say where its modules are.
    """
    command = [sys.executable, "-m", __name__, str(os.getpid()), module, *arguments]
    # A session of its own: Ctrl-C at a terminal would stop a server before the interrupted run is reported to it.
    environment = {
        **environment,
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
    }
    return subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )


def stop_child(child: "subprocess.Popen[bytes]") -> None:
    """End the child: SIGTERM, after _WAIT_S seconds SIGKILL."""
    with child:  # which then waits for its end, and closes its standard input
        child.terminate()
        try:
            child.wait(timeout=_WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()


def run_as_child(parent: int, module: str, arguments: Sequence[str]) -> None:
    """Run the module in this process until it ends, or the parent does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.name == "posix" and os.getppid() != parent:  # the parent ended before the line above
        os._exit(1)
    threading.Thread(target=_end_at_close, daemon=True).start()
    # At DEBUG it logs each frame of a WebSocket, the first of which has the password. Prefect's setting of its level
    # holds only from some moment after the start.
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.levelno > logging.DEBUG)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_at_close() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written: it returns when the last writer has gone
    os._exit(1)


if __name__ == "__main__":
    run_as_child(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
