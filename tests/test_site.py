"""The pages of the site: their links lead to pages, and each page is listed."""

import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("hooks", ROOT / "docs/hooks.py")
hooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hooks)


@pytest.mark.parametrize(
    ("page", "link", "led"),
    [
        ("index.md", "[a](docs/guide.md)", "[a](guide.md)"),
        ("index.md", "[a](docs/guide.md#recipes)", "[a](guide.md#recipes)"),
        ("index.md", "[a](CHANGELOG.md)", "[a](changelog.md)"),
        ("guide.md", "[a](../README.md#more)", "[a](index.md#more)"),
        ("guide.md", "[a](errors.md)", "[a](errors.md)"),
        ("guide.md", "[two\nlines](../README.md)", "[two\nlines](index.md)"),
        ("deeper/page.md", "[a](../guide.md)", "[a](../guide.md)"),
        ("deeper/page.md", "[a](../../README.md)", "[a](../index.md)"),
    ],
)
def test_a_link_to_a_page_leads_there(page, link, led):
    """Wherever its file lies in the checkout."""
    assert hooks.led(f"see {link}.", page) == f"see {led}."


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("guide.md", "[`a`](../tests/oracle.py)"),
        ("guide.md", "[`a`](../specs)"),
        ("index.md", "[`a`](specs/densenet121.yaml)"),
    ],
)
def test_of_a_link_to_what_has_no_page_the_text_stands_alone(page, link):
    """The site holds neither programs nor tests."""
    assert hooks.led(f"see {link}.", page) == "see `a`."


@pytest.mark.parametrize(
    "link",
    [
        "[a](nowhere.md)",
        "[a](../nowhere.md)",
        "[a](#heading)",
        "[a](https://arxiv.org/abs/1608.06993)",
        "[`Graph`][archspec.Graph]",
        "RULES[kind](layer)",
    ],
)
def test_what_is_no_link_to_a_file_stays(link):
    """A link to nothing too: the build finds it and fails."""
    assert hooks.led(f"see {link}.", "guide.md") == f"see {link}."


def test_every_page_is_listed():
    """The build fails where one is missing, or is listed and not there."""
    pages = {file.relative_to(ROOT / "docs").as_posix() for file in ROOT.glob("docs/**/*.md")}
    listed = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    named = [page for entry in listed for page in entry.values()]
    assert sorted(named) == sorted({*pages, *hooks.PAGES.values()})
