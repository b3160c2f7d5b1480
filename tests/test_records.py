"""The records of what takes too long to be run here: each is whole, and says so where the code has changed since."""

import re
import shlex

import pytest

from . import records

KEYS = ["claim", "commands", "part", "sources", "date", "minutes", "digest", "stale", "result"]


@pytest.mark.parametrize("name", records.names())
def test_a_record_is_whole_and_is_written_as_it_is_read(name):
    record = records.read(name)

    assert list(record) == KEYS
    assert record["result"].strip()
    assert records.written(record) == (records.FOLDER / f"{name}.toml").read_text()


@pytest.mark.parametrize("name", records.names())
def test_a_record_of_other_sources_than_todays_is_marked_stale(name):
    record = records.read(name)
    today = records.digest(record["sources"])

    assert record["stale"] == (record["digest"] != today), (
        f"python -m tests.records run {name}, or stale = true; digest {today}"
    )


@pytest.mark.parametrize("name", records.names())
def test_what_a_record_names_is_there(name):
    record = records.read(name)
    for command in record["commands"]:
        program, flag, module, *_ = shlex.split(command)
        assert (program, flag) == ("python", "-m")
        if module == "pytest":
            continue
        path = records.REPOSITORY / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), command
    for part in record["part"]:
        file, _, function = part.partition("::")
        assert re.search(rf"^def {function}\(", (records.REPOSITORY / file).read_text(), re.MULTILINE), part


def test_comments_and_docstrings_are_no_change_and_all_else_is():
    text = '"""What."""\n\nX = "#"  # why\n\n\ndef f():\n    """How.\n\n    Long.\n    """\n    return X  # so\n'

    assert records.code(text) == 'X = "#"\ndef f():\n    return X'
    assert records.code(text.replace("How", "Why").replace("# so", "")) == records.code(text)
    assert records.code(text.replace("return X", "return 1")) != records.code(text)


def test_a_record_depends_on_the_files_of_a_folder_and_on_what_they_are_called(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "REPOSITORY", tmp_path)
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "a.py").write_text("A = 1\n")
    before = records.digest(["room"])
    (tmp_path / "room" / "a.py").write_text("A = 1  # one\n")
    assert records.digest(["room"]) == before
    (tmp_path / "room" / "b.py").write_text("")
    assert records.digest(["room"]) != before
    with pytest.raises(FileNotFoundError, match="hall, of which"):
        records.digest(["hall"])
