"""Ascend's devices, driver and CANN, in folders laid out as Huawei's documentation has them."""

import platform

import pytest

from archspec.errors import EnvironmentFault
from archspec.machine.ascend import examine_ascend, find_match, list_devices, require_devices


@pytest.fixture
def server(tmp_path):
    """A server of four devices, with a driver and CANN 8.3.RC1."""
    (tmp_path / "dev").mkdir()
    for name in ("davinci0", "davinci1", "davinci2", "davinci3", "davinci_manager"):
        (tmp_path / "dev" / name).touch()
    (tmp_path / "version.info").write_text("package_version=25.3.rc1\nVersion=25.3.rc1\n")
    (tmp_path / "cann/compiler").mkdir(parents=True)
    (tmp_path / "cann/compiler/version.info").write_text("Version=8.3.RC1\ntimestamp=x\n")
    return tmp_path


def look(server, mindspore="2.10.0", *, is_wanted=True, home="cann"):
    environment = {"ASCEND_HOME_PATH": str(server / home)} if home else {}
    found = examine_ascend(
        mindspore,
        is_wanted,
        devices=server / "dev",
        driver=server / "version.info",
        environment=environment,
    )
    return {finding.subject: finding for finding in found}


def test_a_server_whose_versions_fit_has_nothing_to_mend(server):
    found = look(server)
    assert {finding.level for finding in found.values()} == {"ok"}
    assert found["Ascend devices"].found == "4 (davinci0, davinci1, davinci2, davinci3)"
    assert found["Ascend driver"].found == "25.3.rc1"
    assert found["CANN"].found.startswith("8.3.RC1, fits mindspore 2.10.0 (mindspore 2.10.0, ")


def test_cann_is_found_where_its_own_guide_looks_for_it(server):
    """Where MindSpore's file is absent."""
    (server / "cann/compiler/version.info").unlink()
    folder = server / "cann" / f"{platform.machine()}-linux"
    folder.mkdir()
    (folder / "ascend_toolkit_install.info").write_text("package_name=x\nversion=8.5.0\n")
    assert look(server)["CANN"].found.startswith("8.5.0, fits")


@pytest.mark.parametrize(
    ("mindspore", "cann", "level", "words"),
    [
        ("2.10.0", "8.1.RC1", "warning", "8.1.RC1 is not for mindspore 2.10.0"),
        ("2.7.1", "8.5.0", "warning", "8.5.0 is not for mindspore 2.7.1"),
        ("2.7.1.post1", "8.3.RC1", "ok", "8.3.RC1, fits mindspore 2.7.1.post1"),
        ("2.7.2", "8.3.RC1", "warning", "8.3.RC1 is not for mindspore 2.7.2"),
        ("2.7.0", "8.2.RC1", "ok", "8.2.RC1, fits mindspore 2.7.0"),
        ("2.8.0", "8.5.0", "ok", "8.5.0, fits mindspore 2.8.0"),
        ("2.9.0", "9.0.0", "ok", "9.0.0, fits mindspore 2.9.0"),
        ("2.6.0", "8.1.RC1", "note", "no source says what mindspore 2.6.0 needs"),
        ("2.10.0", "", "fault", "none"),
    ],
)
def test_versions_that_do_not_fit_are_said_with_their_source(server, mindspore, cann, level, words):
    (server / "cann/compiler/version.info").write_text(f"Version={cann}\n" if cann else "")
    found = look(server, mindspore)["CANN"]
    assert (found.level, words in found.found) == (level, True)
    if level == "warning":
        assert find_match(mindspore).source in found.cure


def test_what_is_absent_is_a_fault_only_where_ascend_is_wanted(tmp_path):
    (tmp_path / "dev").mkdir()
    wanted = look(tmp_path)
    assert {finding.level for finding in wanted.values()} == {"fault"}
    assert all(finding.cure for finding in wanted.values())
    assert {finding.level for finding in look(tmp_path, is_wanted=False).values()} == {"note"}


def test_devices_that_the_user_hides_do_not_count(server, monkeypatch):
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "1, 3,9")
    assert list_devices(server / "dev") == ("davinci1", "davinci3")


def test_a_container_counts_what_it_has_from_0(tmp_path, monkeypatch):
    """Whatever numbers the server gave its devices, or its shares of one."""
    for name in ("davinci10", "davinci9", "vdavinci100", "davinci_manager"):
        (tmp_path / name).touch()
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "0,2")
    assert list_devices(tmp_path) == ("davinci9", "vdavinci100")
    require_devices(2, tmp_path)


@pytest.mark.parametrize(
    ("wanted", "words"), [(8, "there are 4 Ascend devices here, and 8 are wanted"), (4, "")]
)
def test_more_devices_than_there_are_cannot_be_had(server, wanted, words):
    if not words:
        require_devices(wanted, server / "dev")
        return
    with pytest.raises(EnvironmentFault, match=words):
        require_devices(wanted, server / "dev")
