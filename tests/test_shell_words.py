"""Commands that are printed to be copied: each shell reads back what was meant, from one line."""

import shutil
import subprocess

import pytest

from archspec.errors import make_printable
from archspec.shell_words import join_words

PLAIN = ("run", "my run", "it's", "", "größe 猫", "a\\nb", "$HOME", "x;y", "-o")
UNSHOWN = ("x\ny", "\t'\\\r", "a\x1b[31mb", "\udcff\udcfe1", "\u202egnp\x7f9", "$'\n'$(id)`id`")


@pytest.mark.parametrize(
    ("shell", "words"),
    [("sh", PLAIN), ("bash", PLAIN), ("bash", UNSHOWN), ("zsh", UNSHOWN)],
    ids=["sh", "bash", "bash, unshown", "zsh, unshown"],
)
def test_a_shell_reads_back_the_words_that_were_meant(shell, words):
    """The line can be shown: it has no line feed, and nothing that a terminal would obey."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    line = join_words(words)
    assert make_printable(line) == line
    script = f"printf '%s\\0' {line}"
    done = subprocess.run([shell, "-c", script], capture_output=True, check=True)
    assert done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1] == [*words]
