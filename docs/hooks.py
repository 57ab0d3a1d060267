"""What mkdocs asks of us: files beside docs/ as pages, and their links led to where the pages are.

In the checkout a page may link to `../README.md` or `../tests/oracle.py`. The site has a page of
the first, and nothing of the second: there the text of the link stands alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import join, normpath, relpath
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the files of `PAGES` to those of docs/."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page's text with its links led to pages."""
    return led(markdown, page.file.src_uri)


def led(markdown: str, page: str) -> str:
    """Return the text of a page, by its place in the site, with links that the site can follow."""
    folder = "" if page in PAGES.values() else join("docs", page, "..")
    return LINK.sub(lambda link: _led(link, folder, page), markdown)


def _led(link: re.Match[str], folder: str, page: str) -> str:
    text, target, anchor = link.groups(default="")
    path = normpath(join(folder, target))
    if "://" in target or not (ROOT / path).exists():
        return link[0]  # a link to nothing stays, so that mkdocs finds it
    if path not in PAGES and not path.startswith("docs/"):
        return text
    place = PAGES.get(path, path.removeprefix("docs/"))
    return f"[{text}]({relpath(place, join(page, '..'))}{anchor})"
