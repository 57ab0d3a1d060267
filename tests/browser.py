"""A page in a real browser, where one is installed."""

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PATIENCE_SECONDS = 120
# Before the page's policy, which may forbid scripts.
LISTEN = """<head><script>
window.faults = [];
addEventListener("error", event => faults.push(event.message || event.target.tagName), true);
addEventListener("securitypolicyviolation", event => faults.push(event.violatedDirective));
addEventListener("load", () => {SCRIPT});
</script>"""
QUIET = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--dump-dom",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def ask_browser(page: Path, script: str) -> object:
    """Show a page; return what a script leaves in `document.body.dataset.result`, as JSON, once all
    is loaded. What went wrong until then stands in its `faults`.
    """
    assert BROWSER is not None
    page.write_text(page.read_text().replace("<head>", LISTEN.replace("SCRIPT", script), 1))
    command = [BROWSER, *QUIET, f"--user-data-dir={page.parent / 'profile'}", page.as_uri()]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    parser = _Result()
    parser.feed(done.stdout)
    return parser.result


class _Result(HTMLParser):
    """Finds what the page's script left at its body."""

    result: object = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self.result = json.loads(dict(attrs)["data-result"] or "null")
