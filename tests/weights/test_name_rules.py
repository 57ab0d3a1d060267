"""Rules for names of one's own: read with places, bounded, written for a person and read back."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weights.networks import OWN_RULES, own_name, parameters_of

from archspec.errors import ArchspecError
from archspec.weights.pairing.name_rules import load_rules, renamed
from archspec.weights.pairing.naming import their_names
from archspec.weights.pairing.suggest import suggested

NAMES = list(parameters_of("densenet121"))


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    return file


def faults(tmp_path: Path, text: str, *names: str) -> list[str]:
    file = written(tmp_path, text)
    with pytest.raises(ArchspecError) as caught:
        renamed(names, load_rules(file), "FILE")
    return [str(fault).replace(str(file), "rules.yaml") for fault in caught.value.diagnostics]


def test_rules_name_every_tensor_of_a_file(tmp_path):
    """Groups, and groups plus a number, for layers that count from 0."""
    rules = load_rules(written(tmp_path, OWN_RULES))
    new = renamed([own_name(name) for name in NAMES], rules, "FILE")
    torchvision = their_names("torchvision", NAMES)
    assert {own_name(name): torchvision[name] for name in NAMES} == new


def test_the_first_rule_that_matches_the_whole_name_counts(tmp_path):
    """Not a part of the name, and not the best rule."""
    rules = load_rules(written(tmp_path, "- 'a': x\n- 'a.*': y\n- 'ab': z\n"))
    assert renamed(["a", "ab"], rules, "FILE") == {"a": "x", "ab": "y"}


def test_bad_rules_are_told_with_their_places_all_at_once(tmp_path):
    """No list entry of the right form, no regular expression, no such group."""
    text = (
        "- 'a(': x\n- 'ab': '{1}'\n- [a, b]\n- {a: b, c: d}\n- 'a{3}': x\n- 'ok': 3\n- 'b': 'x}'\n"
    )
    assert faults(tmp_path, text) == [
        "rules.yaml:1:3 R013 the pattern a( is no regular expression: missing ), "
        "unterminated subpattern",
        "rules.yaml:2:3 R013 {1} stands for no group; the pattern has 0 ({1}, {2+1}: "
        "groups count from 1)",
        "rules.yaml:3:3 S003 a rule (=['a', 'b']) must be `pattern: replacement`, one of each",
        "rules.yaml:4:3 S003 a rule (={'a': 'b', 'c': 'd'}) must be `pattern: "
        "replacement`, one of each",
        r"rules.yaml:5:3 R013 the pattern a{3} has '{' at 2; it may hold letters, \. "
        r"for a dot, \d, \d+, \w, \w+, "
        "[^.]+, ., .*, [12], groups and |",
        "rules.yaml:6:3 S003 a rule (={'ok': 3}) must be `pattern: replacement`, one of each",
        "rules.yaml:7:3 R013 x} stands for no group; the pattern has 0 ({1}, {2+1}: "
        "groups count from 1)",
    ]
    assert faults(tmp_path, "a: b\n") == [
        "rules.yaml:1:1 S003 rules are a list of `- pattern: replacement`"
    ]
    assert " Y006 " in faults(tmp_path, "- 'a\n")[0]


def test_names_that_rules_do_not_lead_anywhere_are_listed(tmp_path):
    """Unmatched, doubled, and a group that is no number."""
    text = "- 'a.*': x\n- 'layer(\\w+)': 'y{1+1}'\n"
    assert faults(tmp_path, text, "a1", "a2", "layer3", "layerb", "nobody") == [
        "rules.yaml:1:3 R013 names both a1 and a2 x",
        "FILE R013 {1+1} needs a number, group 1 is 'b' (rule at rules.yaml:2:3)",
        "FILE R013 no rule matches nobody",
    ]
    many = faults(tmp_path, text, *(f"b{k}" for k in range(30)))
    assert (len(many), many[-1]) == (21, "FILE R013 and 10 more names")


HOSTILE = {
    "nested": "(a+)+$",
    "nested digits": r"(\d+)+x",
    "group in group": r"((a|b)*)*",
    "choice repeated": "(a|a)*b",
    "many choices": "(a|a)" * 30,
    "many wild": ".*.*.*.*.*x",
    "digits beside digits": r"\d+\d+\d+\d+x",
    "digits in groups": r"(\d+)(\d+)(\d+)(\d+)x",
    "digits before a digit": r"\d+1\d+1\d+1\d+1x",
    "optional": "a?" * 60 + "a" * 60,
    "reference": r"(a)\1",
    "lookahead": "(?=a)b",
    "counted": "a{1000}",
    "lazy": "a.*?b",
    "long": "a" * 201,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_patterns_that_could_run_away_are_refused(name, tmp_path):
    """Before they see a single name."""
    (fault,) = faults(tmp_path, f"- '{HOSTILE[name]}': x\n", "a" * 200)
    assert " R013 the pattern " in fault


def test_the_slowest_patterns_that_are_allowed_end(tmp_path):
    """Names are short, and at most two repeats share a text: this ends at once."""
    rules = load_rules(
        written(tmp_path, "".join(f"- '.*{k}.*(a|a|a|a|a|a)b': x\n" for k in range(50)))
    )
    with pytest.raises(ArchspecError, match="no rule matches"):
        renamed(["a" * 200] * 20, rules, "FILE")


@pytest.mark.parametrize("naming", ["mindcv", "torchvision_old"])
def test_a_suggestion_is_read_back_as_the_same_pairing(naming, tmp_path):
    """One rule for each kind of name, not one for each of 606 tensors."""
    pairs = {theirs: ours for ours, theirs in their_names(naming, NAMES).items()}
    text = suggested(pairs)
    assert renamed(pairs, load_rules(written(tmp_path, text)), "FILE") == pairs
    assert text.count("\n- ") < 20
    assert r"'features.denseblock{1}.denselayer{2" in text


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(
            st.characters(
                codec="utf-8", exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp", "Zs", "Co", "Cn")
            )
        ),
        st.from_regex(r"[a-z]{1,3}[0-9]{1,2}\.[a-z]{1,3}", fullmatch=True),
        min_size=1,
    ).filter(lambda pairs: len(set(pairs.values())) == len(pairs) and "" not in pairs)
)
def test_any_pairing_can_be_suggested(tmp_path_factory, pairs):
    """Names of signs and letters of any script; numbers that follow no rule get a rule each."""
    file = written(tmp_path_factory.mktemp("rules"), suggested(pairs))
    assert renamed(pairs, load_rules(file), "FILE") == pairs


def test_numbers_that_follow_no_rule_have_rules_of_their_own(tmp_path):
    """Layers in another order, and leading zeros."""
    pairs = {"layer0.w": "l2.w", "layer1.w": "l1.w", "cell01.w": "c1.w", "cell02.w": "c2.w"}
    text = suggested(pairs)
    assert "'layer0\\.w': 'l2.w'" in text
    assert "'cell(\\d+)\\.w': 'c{1+0}.w'" in text
    assert renamed(pairs, load_rules(written(tmp_path, text)), "FILE") == pairs
