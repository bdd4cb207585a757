"""A file is whole or not there."""

import os
from pathlib import Path

import pytest

from depthscale import files
from depthscale.errors import UnwritablePath


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    files.write(tmp_path / "a.txt", "first")
    files.write(tmp_path / "a.txt", b"second")
    assert (tmp_path / "a.txt").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_interrupted_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(tmp_path / "a.txt", "first")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        files.write(tmp_path / "a.txt", "second")
    assert (tmp_path / "a.txt").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "chmod", full)
    with pytest.raises(UnwritablePath, match="No space left on device; name another place"):
        files.write(tmp_path / "a.txt", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_checked_without_being_made(tmp_path: Path) -> None:
    files.check_folder(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/dev/null/x")):
        with pytest.raises(UnwritablePath, match="cannot write"):
            files.check_folder(place)


def test_several_files_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(UnwritablePath, match=r"d\.txt"):
        files.write_all({tmp_path / "a.txt": "new", tmp_path / "absent" / "d.txt": "new"})
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_links_are_followed_and_rights_kept(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    target.chmod(0o600)
    (tmp_path / "link").symlink_to(target)
    files.write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_device_is_written_to_and_stays_one() -> None:
    files.write(Path("/dev/null"), "text")
    assert Path("/dev/null").is_char_device()


def test_a_new_file_has_the_rights_that_files_have(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    files.write(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(
    tmp_path: Path,
) -> None:
    left, written = tmp_path / ".depthscale-a.part", tmp_path / ".depthscale-b.part"
    left.write_text("half")
    written.write_text("half")
    two_hours_ago = left.stat().st_mtime - 7200
    os.utime(left, (two_hours_ago, two_hours_ago))
    files.write(tmp_path / "c.txt", "whole")
    assert {p.name for p in tmp_path.iterdir()} == {"c.txt", written.name}
