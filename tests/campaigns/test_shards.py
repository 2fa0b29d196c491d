"""However a campaign is cut, interrupted and put together, the answer is the one of a single run; bad parts are named."""

import json
import shutil
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from counting import Counting, Stopped, Sum
from hypothesis import given
from hypothesis import strategies as st

from commands import rmaplab
from rmaplab.campaigns import CampaignError, Rows, Shard, carry_out, load_parts, merge
from rmaplab.machine.differential.fates import Mutants, numbers
from rmaplab.stress.campaign import Raced, Tally

RACE = ("race", "writer-reader", "two-writers", "--model", "sc,tso")
STRESS = ("stress", "--seconds", "0", "--workers", "1", "--readers", "0", "--scheme", "packed", "--scheme", "moments")
REFUTE = ("refute", "generations", "--table", "--order", "2", "--order", "9", "--order", "10")


@given(units=st.integers(0, 30), of=st.integers(1, 7), stops=st.lists(st.integers(0, 30), max_size=3), data=st.data())
def test_shards_interrupted_and_resumed_in_any_order_give_what_one_run_gives(
    units: int, of: int, stops: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    for number in data.draw(st.permutations(range(1, of + 1))):
        for stop in stops:
            try:
                carry_out(Counting(units, stop_at=stop), Shard(number, of), folder / str(number % 2))
            except Stopped:
                continue
        carry_out(Counting(units), Shard(number, of), folder / str(number % 2))
    whole = carry_out(Counting(units))
    assert whole == Sum(units, sum(range(units)), tuple(range(units)))
    parts = load_parts(sorted(folder.iterdir()))
    assert merge(Counting(units), parts) == whole


def test_a_finished_part_is_not_done_again(tmp_path: Path) -> None:
    first = carry_out(Counting(5), directory=tmp_path)
    assert carry_out(Counting(5, stop_at=0), directory=tmp_path) == first


def test_work_limited_by_time_does_every_unit_it_must_and_then_goes_on_until_the_time_is_spent(tmp_path: Path) -> None:
    least = carry_out(Counting(4, seconds=0.0), Shard(2, 3), tmp_path)
    assert least.seen == (1,)
    more = carry_out(Counting(4, seconds=0.05), Shard(1, 3), tmp_path)
    assert more.count > 2
    assert set(more.seen) == {3 * i for i in range(more.count)}


rows = st.dictionaries(st.integers(0, 20), st.integers(0, 3))


@given(units=st.lists(st.integers(0, 30), unique=True), cuts=st.integers(0, 30), data=st.data())
def test_tables_and_tallies_add_up_in_any_order_and_nothing_is_neutral(
    units: list[int], cuts: int, data: st.DataObject
) -> None:
    tables = [Rows({unit: ({"unit": unit},)}) for unit in units]
    races = [Raced({f"s{u % 3}": Tally(1, u, 2, u % 2)}, {u: ("wrong",)} if u % 2 else {}) for u in units]
    for parts, nothing in ((tables, Rows()), (races, Raced())):
        merged = [type(nothing).merge(*pair) for pair in ((p, nothing) for p in parts)]
        assert merged == parts
        shuffled = data.draw(st.permutations(parts))
        halves = [reduce(type(nothing).merge, some, nothing) for some in (shuffled[:cuts], shuffled[cuts:])]
        whole = reduce(type(nothing).merge, parts, nothing)
        assert halves[0].merge(halves[1]) == halves[1].merge(halves[0]) == whole
        assert json.dumps(halves[0].merge(halves[1]).to_json()) == json.dumps(whole.to_json())


def test_a_unit_with_two_different_results_does_not_add_up() -> None:
    with pytest.raises(ValueError, match="unit 3"):
        Rows({3: ({"a": 1},)}).merge(Rows({3: ({"a": 2},)}))
    with pytest.raises(ValueError, match="unit 3"):
        Raced({}, {3: ("x",)}).merge(Raced({}, {3: ("x",)}))


def test_fates_of_planted_faults_add_up_to_the_score_of_all(tmp_path: Path) -> None:
    names = ("found", "alive", "equivalent", "wrongly")

    def plant(unit: int) -> dict[str, str]:
        by = "seed 1, step 2" if unit in (0, 3) else ""
        return {"name": names[unit], "rule": "r", "by": by, "equivalent": "e" if unit > 1 else ""}

    campaign = Mutants(names, 9, 1, False, "x", plant)
    for number in (3, 1, 2):
        carry_out(campaign, Shard(number, 3), tmp_path)
    parts = load_parts([tmp_path])
    again = Mutants.again(parts.parameters)
    found = numbers(merge(again, parts), again.programs)
    assert found == numbers(carry_out(campaign), 9)
    assert found["mutants"] == {"dead": 1, "alive": 1, "by_programs": 1, "equivalent": 2}
    assert (found["alive"], found["wrongly_equivalent"]) == (["alive"], ["wrongly"])


@pytest.fixture
def four(tmp_path: Path) -> Path:
    for number in range(1, 5):
        carry_out(Counting(9), Shard(number, 4), tmp_path)
    return tmp_path


def edit(file: Path, **values: Any) -> None:
    """Change values and leave the sum as it was."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def unfinished(folder: Path) -> None:
    (folder / "counting-1-of-4.json").unlink()
    with pytest.raises(Stopped):
        carry_out(Counting(9, stop_at=4), Shard(1, 4), folder)


def foreign(folder: Path) -> None:
    (folder / "counting-3-of-4.json").unlink()
    carry_out(Counting(9, base=7), Shard(3, 4), folder)


def other_cut(folder: Path) -> None:
    carry_out(Counting(9), Shard(1, 2), folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "counting-2-of-4.json").unlink(), "counting: part 2/4: missing"),
        (lambda f: [(f / f"counting-{i}-of-4.json").unlink() for i in (1, 2, 4)], "part 1/4 and 2 more: missing"),
        (lambda f: shutil.copy(f / "counting-2-of-4.json", f / "counting-9-of-9.json"), "part 2/4 is there twice"),
        (unfinished, r"part 1/4 is not finished: 1 units done"),
        (foreign, r"counting-3-of-4.json: is of another campaign than .*: base 7: must be 0"),
        (other_cut, r"is of another campaign than .*: of 4: must be 2"),
        (lambda f: (f / "counting-2-of-4.json").write_text("{"), r"counting-2-of-4.json: is not JSON"),
        (lambda f: (f / "counting-2-of-4.json").write_text("[]"), r"counting-2-of-4.json: must be an object"),
        (lambda f: edit(f / "counting-2-of-4.json", version=2), r"counting-2-of-4.json: version 2: must be 1"),
        (lambda f: edit(f / "counting-2-of-4.json", done=[[0, 9]]), r"counting-2-of-4.json: SHA-256"),
    ],
)
def test_a_part_that_is_missing_double_foreign_unfinished_or_damaged_is_named(
    four: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(four)
    with pytest.raises(CampaignError, match=said):
        load_parts([four])


def test_a_part_of_another_campaign_is_not_gone_on_with(tmp_path: Path) -> None:
    carry_out(Counting(3), directory=tmp_path)
    before = (tmp_path / "counting-1-of-1.json").read_bytes()
    with pytest.raises(CampaignError, match="another campaign: base 0: must be 1"):
        carry_out(Counting(3, base=1), directory=tmp_path)
    assert (tmp_path / "counting-1-of-1.json").read_bytes() == before


@pytest.mark.parametrize("command", [RACE, STRESS, REFUTE], ids=lambda words: words[0])
def test_merge_prints_byte_for_byte_what_one_run_prints(command: tuple[str, ...], tmp_path: Path) -> None:
    whole = rmaplab(*command, "--json")
    for number in (2, 1, 3):
        part = rmaplab(*command, "--shard", f"{number}/3", "--resume", str(tmp_path), "--json")
        assert part.returncode in (0, 1), part.stderr
    merged = rmaplab("merge", str(tmp_path), "--json")
    assert (merged.stdout, merged.returncode) == (whole.stdout, whole.returncode)
    table = rmaplab("merge", str(tmp_path))
    assert (table.stdout, table.returncode) == (rmaplab(*command).stdout, whole.returncode)


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1/0", "-1/4", "1/4/4", "nan", "1.0/2", "", "1/1000000"])
def test_a_shard_that_is_none_is_refused(shard: str, tmp_path: Path) -> None:
    done = rmaplab(*STRESS, f"--shard={shard}", "--resume", str(tmp_path / "r"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "--shard" in done.stderr
    assert not (tmp_path / "r").exists()


def test_a_shard_without_a_place_for_its_part_is_refused() -> None:
    assert "--resume" in rmaplab(*STRESS, "--shard", "1/2").stderr


def test_merge_of_what_is_no_campaign_is_refused(tmp_path: Path, four: Path) -> None:
    (tmp_path / "empty").mkdir()
    for words, said in (
        ([str(tmp_path / "nowhere")], "cannot be read"),
        ([str(tmp_path / "empty")], "holds no part"),
        ([str(four)], "command 'counting': must be one of"),
    ):
        done = rmaplab("merge", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
