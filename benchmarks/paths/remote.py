"""An object in a process of its own, which can be asked, timed and stopped."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


class StoppedError(Exception):
    """No answer came in time, or none that can be used; the process is gone."""


class Remote:
    """What `make(*arguments)` returns, living in a process from its first call until `close`."""

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        self._made_by = make, arguments
        self._process: Any = None

    def call(self, method: str, *arguments: Any, limit: float) -> Any:
        """Return what the method returns; whoever was stopped before starts anew.

        Raises:
            StoppedError: after `limit` seconds, or where the method fails.
        """
        if self._process is None:
            self._start()
        try:
            self._pipe.send((method, arguments))
            if not self._pipe.poll(limit):
                self.close()
                raise StoppedError(f"over {limit:g} s")
            is_fault, answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise StoppedError("died") from error
        if is_fault:
            self.close()
            raise StoppedError(answer)
        return answer

    def close(self) -> None:
        """End the process and all that it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.join()
        self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self._made_by))
        self._process.start()
        theirs.close()
        # Until it leads a group of its own, the group to end would be ours.
        self._pipe.recv()


def _serve(connection: Connection, make: Callable[..., Any], arguments: tuple) -> None:
    os.setsid()
    # Some show their progress unasked.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    connection.send(None)
    warnings.simplefilter("ignore")
    served = None
    while True:
        try:
            method, given = connection.recv()
        except EOFError:
            return
        try:
            served = make(*arguments) if served is None else served
            answer = False, getattr(served, method)(*given)
        except Exception as error:
            traceback.print_exc()
            answer = True, f"{type(error).__name__}: {error}"[:100]
        connection.send(answer)
