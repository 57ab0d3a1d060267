"""Errors, and words of others in them."""

import io

import pytest

from archspec.errors import DataError, make_printable
from archspec.screen import Screen


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("\x9b2J\x07\0\x7f", r"\x9b2J\x07\x00\x7f"),
        ("a\r\n\tb", r"a\r\n\tb"),
        ("\u202egnp.exe\u2066\u2028", r"\u202egnp.exe\u2066\u2028"),
        ("\udcff\ufffe", r"\udcff\ufffe"),
        ("größe 猫\u3000n\u0303 👩\u200d🚀 \\x1b", "größe 猫\u3000n\u0303 👩\u200d🚀 \\x1b"),
    ],
)
def test_what_a_screen_would_obey_is_written_out_and_all_letters_stay(text, shown):
    """In any text, in faults, and in lines of a screen, which keep their own line feeds."""
    assert make_printable(text) == shown
    fault = DataError.one("D005", text, text, text)
    assert str(fault) == f"{shown} D005 {shown} ({shown})"
    stream = io.StringIO()
    screen = Screen(file=stream, width=500)
    screen.out(f"first\n{text}", highlight=False)
    screen.print(f"[b]{text.replace('[', '')}[/b]", "\n", highlight=False)
    assert not [
        sign for sign in stream.getvalue().replace("\n", "") if make_printable(sign) != sign
    ]
