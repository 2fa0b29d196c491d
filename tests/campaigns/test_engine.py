"""With Dask's workers the answer is one process': with 1 and 4 of them, with workers that die, and after resume."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from counting import Counting, Stopped

from commands import rmaplab
from rmaplab.campaigns import CampaignError, Shard, carry_out, load_parts, merge
from rmaplab.cluster.engine import DaskEngine, connected
from rmaplab.errors import RmaplabError

UNITS = 40


@pytest.fixture(scope="module")
def four() -> Iterator[DaskEngine]:
    """Four workers, which find the tests' own campaign."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), before)))
    try:
        with connected("local:4") as engine:
            yield engine
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def test_four_workers_two_of_which_are_killed_give_what_one_process_gives(four: DaskEngine, tmp_path: Path) -> None:
    kills = {7: tmp_path / "seven", 23: tmp_path / "twenty-three"}
    assert carry_out(Counting(UNITS, kills=kills), engine=four) == carry_out(Counting(UNITS))
    assert all(mark.exists() for mark in kills.values())


def test_work_that_was_stopped_is_resumed_by_the_workers_and_merged_with_a_part_made_here(
    four: DaskEngine, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        carry_out(Counting(UNITS, stop_at=30), Shard(1, 2), tmp_path, four)
    carry_out(Counting(UNITS), Shard(1, 2), tmp_path, four)
    carry_out(Counting(UNITS), Shard(2, 2), tmp_path)
    assert merge(Counting(UNITS), load_parts([tmp_path])) == carry_out(Counting(UNITS))


def test_work_limited_by_time_does_all_it_must(four: DaskEngine) -> None:
    found = carry_out(Counting(UNITS, seconds=0.0), engine=four)
    assert found.seen == tuple(range(UNITS))


def test_an_error_of_the_user_is_raised_as_it_is_and_not_tried_again(four: DaskEngine) -> None:
    with pytest.raises(CampaignError, match="unit 3 is refused"):
        carry_out(Counting(UNITS, refuses=3), engine=four)


def test_one_worker_of_the_command_gives_what_no_worker_gives() -> None:
    words = ("race", "two-writers", "--model", "sc", "--json")
    alone, one = rmaplab(*words), rmaplab(*words, "--scheduler", "local:1")
    assert (one.stdout, one.returncode) == (alone.stdout, alone.returncode)


@pytest.mark.parametrize("scheduler", ["", "here", "local:0", "local:nan", "127.0.0.1:8786", "tcp://"])
def test_a_scheduler_that_is_none_is_refused(scheduler: str) -> None:
    with pytest.raises(RmaplabError, match=r"--scheduler: .*: must be local"), connected(scheduler):
        pass


def test_without_dask_one_line_says_what_to_install() -> None:
    without = """
        import sys

        class Without:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("dask", "distributed"):
                    raise ModuleNotFoundError(name)

        sys.meta_path.insert(0, Without())
    """
    done = rmaplab("race", "two-writers", "--model", "sc", "--scheduler", "local", before=without)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.strip().splitlines() == [
        "rmaplab: --scheduler: needs Dask, which is not installed: pip install 'rmaplab[cluster]'"
    ]


def test_nothing_but_the_engine_itself_imports_dask() -> None:
    package = Path(__file__).parents[2] / "src" / "rmaplab"
    words = ("import dask", "from dask", "import distributed", "from distributed", "rmaplab.cluster.engine")
    users = {str(one.relative_to(package)) for one in package.rglob("*.py") if any(w in one.read_text() for w in words)}
    assert users == {"cluster/engine.py", "cli/parting.py"}
