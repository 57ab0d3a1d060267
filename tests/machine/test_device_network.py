"""The network of Ascend devices, by a program that answers as Huawei documents hccn_tool."""

import pytest

from archspec.machine.device_network import examine_network

TOOL = """#!/bin/sh
case "$3 $2" in
{answers}
esac
"""
HEALTHY = {
    "-ip *": "ipaddr:29.1.0.{n}\\nnetmask:255.255.0.0",
    "-link *": "link status: UP",
    "-net_health *": "net health status: Success",
}


@pytest.fixture
def look(tmp_path):
    """What is found of two devices whose tool gives these answers before the usual ones."""
    (tmp_path / "dev").mkdir()
    for name in ("davinci2", "davinci5", "davinci_manager"):
        (tmp_path / "dev" / name).touch()

    def found(answers, mode=0o755):
        lines = []
        for case, text in {**answers, **HEALTHY}.items():
            pattern = case.replace(" ", "\\ ")
            lines.append(f"{pattern}) printf '{text.format(n='%s')}\\n' $2;;")
        tool = tmp_path / "hccn_tool"
        tool.write_text(TOOL.format(answers="\n".join(lines)))
        tool.chmod(mode)
        [finding] = examine_network(tmp_path / "dev", tool)
        return finding

    return found


def test_links_that_are_up_are_named_by_their_addresses(look):
    """Of the devices that are here, by their own numbers; a health that is not known yet is none
    that is bad.
    """
    finding = look({"-net_health 5": "net health status: Init"})
    assert (finding.level, finding.found) == ("ok", "2 links up, 29.1.0.2, 29.1.0.5")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"-link 5": "link status: DOWN"}, "device 5: link DOWN"),
        ({"-ip 2": "the ip is not set"}, "device 2: no address is told"),
        ({"-net_health 2": "net health status: Receive timeout"}, "device 2: net health Receive"),
        ({"-link 2": "command error! wrong user"}, "device 2: link is not told"),
    ],
)
def test_what_keeps_other_machines_away_is_told_of_each_device(look, answers, words):
    """As a warning: one machine alone trains without."""
    finding = look(answers)
    assert finding.level == "warning"
    assert words in finding.found
    assert "; " not in finding.found
    assert "as root" in finding.cure


def test_a_tool_that_does_not_run_says_nothing(look, tmp_path):
    """Nor one that is not there, nor is there anything to ask without devices."""
    assert "device 5: link is not told" in look({}, mode=0o644).found
    [absent] = examine_network(tmp_path / "dev", tmp_path / "nowhere")
    assert (absent.level, "is not here" in absent.found) == ("note", True)
    (tmp_path / "none").mkdir()
    [nothing] = examine_network(tmp_path / "none")
    assert nothing.found == "nothing to look at: there is no device here"
