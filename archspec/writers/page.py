"""What pages of HTML have in common: a head, a policy to load nothing, rows of tables."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from archspec.errors import make_printable

# What a page runs or shows of its own is allowed by name; none loads or sends anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_page(title: str, body: str, style: str, allowed: str = "") -> str:
    """Return a page.

    Args:
        title: in plain words; it is escaped.
        body: HTML.
        style: CSS.
        allowed: more of the content security policy, such as `img-src data:`.
    """
    policy = f"{_POLICY}; {allowed}" if allowed else _POLICY
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape_text(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def escape_text(text: str) -> str:
    """Return plain words as they stand in a page, whatever is in them."""
    return escape(make_printable(text))


def write_row(cells: Iterable[str], tag: str) -> str:
    """Return a row of `th` or `td`; the cells are plain words."""
    return "<tr>" + "".join(f"<{tag}>{escape_text(cell)}</{tag}>" for cell in cells) + "</tr>"
