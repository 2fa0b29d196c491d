"""`rmaplab refute` from outside: exit codes, JSON rows, users' functions, bad input."""

import json

import pytest

from commands import rmaplab

MINE = """
def plain(mm):
    return mm

def squares(mm):
    return mm, mm * mm

def uneven(mm):
    return (mm,) * mm
"""


def test_a_refutation_exits_1_and_prints_rows_with_the_promised_keys():
    done = rmaplab("refute", "generations", "--order", "6", "--order", "9", "--json")
    assert done.returncode == 1
    sound, refuted = json.loads(done.stdout)
    keys = {"scheme", "order", "values", "id_bits", "word_bits", "verdict", "reason", "witness"}
    assert set(sound) == set(refuted) == keys
    assert (sound["verdict"], sound["witness"]) == ("sound", None)
    assert sum(refuted["witness"]["mappings"].values()) == 70


def test_a_sound_configuration_exits_0():
    assert rmaplab("refute", "generations", "--order", "9", "--values", "4").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("mm-id",), "'mm-id'"),
        (("generations", "--order", "1"), "order: 1"),
        (("generations", "--order", "9", "--id-bits", "25"), "ID bits: 25"),
        (("moments", "--values", "3"), "values: 3"),
        (("bits", "--word-bits", "0"), "'--word-bits': 0"),
        (("--subids", "nothing"), "'nothing'"),
        (("--subids", "no_such_module:f"), "no_such_module"),
        ((), "linear scheme"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, named):
    done = rmaplab("refute", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert named in done.stderr


def test_a_users_function_is_refuted_or_found_sound(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    plain = rmaplab("refute", "--subids", "mine:plain", "--order", "2", "--json", cwd=tmp_path)
    assert plain.returncode == 1
    assert sum(json.loads(plain.stdout)[0]["witness"]["mappings"].values()) == 2
    squares = rmaplab("refute", "--subids", "mine:squares", "--order", "3", "--id-bits", "3", "--json", cwd=tmp_path)
    assert (squares.returncode, json.loads(squares.stdout)[0]["verdict"]) == (0, "sound")
    assert json.loads(squares.stdout)[0]["values"] == 2
    assert rmaplab("refute", "--subids", "mine:uneven", cwd=tmp_path).returncode == 2
