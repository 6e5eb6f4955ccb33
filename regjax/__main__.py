"""The command `regjax` as `python -m regjax`."""

from __future__ import annotations

from regjax.cli import main

if __name__ == "__main__":
    main()
