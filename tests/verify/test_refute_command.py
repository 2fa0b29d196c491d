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

def raises(mm):
    return 1 // (mm - 7)

def leaves(mm):
    raise SystemExit(0)

def ends(mm):
    import os
    os._exit(0)

def dies(mm):
    import os, signal
    os.kill(os.getpid(), signal.SIGSEGV)

def words(mm):
    return "seven"

def hangs(mm):
    while True:
        pass

def none(mm):
    return None

def prints(mm):
    print("asked for", mm)
    return mm, mm * mm

seen = []

def fickle(mm):
    seen.append(mm)
    return mm + len(seen) // 20

def huge(mm):
    return mm << 20_000 | mm, -mm * mm

not_a_function = 3
"""

USELESS = {
    "raises": "ID 7: ZeroDivisionError",
    "leaves": "ID 1: SystemExit",
    "ends": "ended its process (exit code 0)",
    "dies": "ended its process (signal 11)",
    "words": "must be integers",
    "none": "must be integers",
    "fickle": "must be the same every time",
    "uneven": "must be equally many",
    "not_a_function": "must be a function of an rmap ID",
    "missing": "AttributeError",
}


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
        (("none",), "'none'"),
        (("mm-id", "--values", "2"), "--values: 2"),
        (("mm-id", "--word-bits", "32"), "word bits: 32"),
        (("moments-flag", "--word-bits", "2"), "word bits: 2"),
        (("moments", "--mms", "3"), "--mms: 3"),
        (("moments", "--steps", "3"), "--steps: 3"),
        (("mm-id", "--cow", "--id-bits", "3"), "--id-bits: 3"),
        (("generations", "--id-bits", "0"), "'--id-bits': 0"),
        (("generations", "--seconds", "nan"), "'--seconds': nan"),
        (("generations", "--posted", "--order", "9"), "--order: 9"),
        (("generations", "--posted", "--id-bits", "8"), "--id-bits: 8"),
        (("moments", "--posted"), "scheme: moments"),
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


@pytest.mark.parametrize("name", USELESS)
def test_a_users_function_that_cannot_be_searched_is_one_line_and_exit_2(tmp_path, name):
    (tmp_path / "mine.py").write_text(MINE)
    done = rmaplab("refute", "--subids", f"mine:{name}", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert USELESS[name] in done.stderr


def test_a_users_module_may_exit_print_and_raise_when_it_is_imported(tmp_path):
    for name, source in {"goes": "raise SystemExit", "says": "print(1)", "bad": "1 / 0", "odd": "def f(:"}.items():
        (tmp_path / f"{name}.py").write_text(f"{source}\ndef f(mm): return mm\n")
        done = rmaplab("refute", "--subids", f"{name}:f", "--json", cwd=tmp_path)
        if name == "says":
            assert (done.returncode, json.loads(done.stdout)[0]["verdict"], done.stderr) == (1, "refuted", "1\n")
        else:
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_what_a_users_function_prints_is_no_data_and_its_integers_may_be_huge(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    for name in ("prints", "huge"):
        done = rmaplab("refute", "--subids", f"mine:{name}", "--order", "2", "--id-bits", "2", "--json", cwd=tmp_path)
        assert (done.returncode, json.loads(done.stdout)[0]["verdict"]) == (0, "sound")
        assert ("asked for 3" in done.stderr) == (name == "prints")


def test_a_users_function_that_does_not_answer_in_time_leaves_it_undecided(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    done = rmaplab("refute", "--subids", "mine:hangs", "--seconds", "0.5", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)[0]["verdict"]) == (3, "undecided")


@pytest.mark.parametrize(
    "configuration",
    [
        ("generations", "--order", "9", "--values", "2"),
        ("moments", "--order", "9", "--id-bits", "8", "--word-bits", "20"),
        ("generations", "--order", "13", "--values", "1", "--id-bits", "32"),
    ],
)
def test_undecided_is_never_exit_code_0(configuration):
    done = rmaplab("refute", *configuration, "--seconds", "0", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["verdict"]) == (3, "undecided")


def test_needs_says_nothing_of_what_the_time_was_too_short_for():
    done = rmaplab("refute", "--needs", "--order", "9", "--seconds", "0", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["posted_sound"]) == (3, None)
