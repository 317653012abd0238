"""`python -m blur` is `blur`."""

from __future__ import annotations

import sys

from blur.cli.main import start

sys.exit(start())
