"""A look at a page in headless Chromium, for tests; they are skipped where there is none."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # which containers do not let it have; the page is the test's own
    "--disable-gpu",
    "--no-first-run",
    "--enable-logging=stderr",
    "--virtual-time-budget=3000",
    "--dump-dom",
)

FRAME = """<!doctype html><body style="margin: 0"><iframe style="border: 0; width: {width}px; height: 800px"
srcdoc="{page}" onload="
  const root = this.contentDocument.documentElement;
  const wide = Math.max(root.scrollWidth, this.contentDocument.body.scrollWidth);
  document.title = `seen ${{this.contentWindow.innerWidth}} ${{wide - root.clientWidth}}`;
"></iframe>"""
"""A frame has any width; windows of the browser itself do not get as narrow as telephones."""


class Seen(NamedTuple):
    """Width of the view, how far the page is wider, and the lines of the console."""

    width: int
    overflow: int
    complaints: list[str]


def look_at(page: str, width: int, folder: Path) -> Seen:
    """Opens a page in a frame of this width."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"there is no browser: none of {', '.join(PROGRAMS)} is installed")
    path = folder / "frame.html"
    path.write_text(FRAME.format(width=width, page=html.escape(page)), encoding="utf-8")
    command = [program, *OPTIONS, f"--user-data-dir={folder / 'profile'}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    seen = re.search(r"<title>seen (\d+) (-?\d+)</title>", done.stdout)
    assert seen, done.stderr[-2000:]
    return Seen(int(seen[1]), int(seen[2]), [line for line in done.stderr.splitlines() if "CONSOLE" in line])
