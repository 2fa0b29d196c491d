"""Several processes give what one gives, also from a part that is there; one that dies is named, and none is left."""

from multiprocessing import active_children
from pathlib import Path

import pytest
from counting import Counting

from commands import rmaplab
from rmaplab.campaigns import CampaignError, Processes, Shard, carry_out, load_parts, merge

UNITS = 12


@pytest.mark.parametrize("jobs", [1, 3, 20])
def test_several_processes_give_what_one_gives(jobs: int) -> None:
    assert carry_out(Counting(UNITS), engine=Processes(jobs)) == carry_out(Counting(UNITS))


def test_no_unit_is_lost_between_a_part_and_the_processes_that_go_on(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="unit 7 is refused"):
        carry_out(Counting(UNITS, refuses=7), Shard(), tmp_path, Processes(2))
    carry_out(Counting(UNITS), Shard(), tmp_path, Processes(2))
    assert merge(Counting(UNITS), load_parts([tmp_path])) == carry_out(Counting(UNITS))


def test_work_limited_by_time_does_all_it_must() -> None:
    assert carry_out(Counting(UNITS, seconds=0.0), engine=Processes(2)).seen == tuple(range(UNITS))


def test_a_process_that_dies_is_named_by_its_unit_and_the_others_end(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="counting: unit 5: its process ended with code -9"):
        carry_out(Counting(UNITS, kills={5: tmp_path / "five"}), engine=Processes(2))
    assert not active_children()


def test_the_command_in_two_processes_says_what_it_says_in_one() -> None:
    words = ("race", "two-writers", "--model", "sc,c11", "--json")
    alone, two = rmaplab(*words), rmaplab(*words, "--jobs", "2")
    assert (two.stdout, two.returncode) == (alone.stdout, alone.returncode)
