"""Standard output that may fail, and the letters that it has."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


def encodable(text: str, encoding: str) -> str:
    r"""Return text in the characters that an encoding has, escapes in the place of all others.

    Example:
        >>> encodable("a ± b", "ascii"), encodable("café", "ascii")
        ('a +- b', 'caf\\xe9')
    """
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = text.replace("±", "+-").replace("…", "...")
        return plain.encode(encoding, "backslashreplace").decode(encoding)
    return text


class StandardOutput:
    """Standard output as `sys` has it at the moment; where it fails, the rest is dropped.

    Attributes:
        failure: why it failed, if it did.
    """

    def __init__(self) -> None:
        self.failure: OSError | None = None

    @property
    def encoding(self) -> str:
        return getattr(_stream(), "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        stream = _stream()
        return stream is not None and stream.isatty()

    def fileno(self) -> int:
        stream = _stream()
        if stream is None:
            raise io.UnsupportedOperation("standard output is closed")
        return int(stream.fileno())

    def write(self, text: str) -> int:
        if self.failure is None and (stream := _stream()) is not None:
            try:
                stream.write(encodable(text, self.encoding))
            except OSError as error:
                self._drop(error)
        return len(text)

    def flush(self) -> None:
        if self.failure is None and (stream := _stream()) is not None:
            try:
                stream.flush()
            except OSError as error:
                self._drop(error)

    def write_bytes(self, content: bytes) -> None:
        """Write data as they are."""
        if self.failure is None and (stream := _stream()) is not None:
            try:
                stream.flush()
                stream.buffer.write(content)
                stream.buffer.flush()
            except OSError as error:
                self._drop(error)

    def _drop(self, error: OSError) -> None:
        self.failure = error
        # What the interpreter still holds would fail again when it ends.
        try:
            own = self.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, own)
            os.close(nowhere)
        except (OSError, ValueError):
            sys.stdout = io.StringIO()


def _stream() -> Any:
    # A display that moves puts itself in the place of standard output, and prints through here.
    return getattr(sys.stdout, "rich_proxied_file", sys.stdout)
