"""The matrix of kernels says of each feature what was tried, and every reason once."""

import json
import platform

import pytest

from commands import rmaplab
from kernel import lacking
from rmaplab.machine.live import probe
from rmaplab.report.features import matrix
from rmaplab.trials.features import Feature, tried


def test_a_reason_that_several_kernels_share_stands_once_and_each_cell_leads_to_its_own() -> None:
    found = {
        "one": [Feature("swap", "works"), Feature("KSM", "not there", "no KSM"), Feature("look", "estimate", "half")],
        "two": [Feature("KSM", "not there", "no KSM"), Feature("look", "not there", "no way")],
    }
    assert list(matrix(found)) == [
        "| | one | two |",
        "|---|---|---|",
        "| swap | works | not tried |",
        "| KSM | not there [1] | not there [1] |",
        "| look | estimate [2] | not there [3] |",
        "",
        "1. no KSM",
        "2. half",
        "3. no way",
    ]


@pytest.mark.live
@pytest.mark.xdist_group("live")
@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_what_is_tried_here_is_what_the_probes_say() -> None:
    states = {feature.name: feature.state for feature in tried()}
    for name, capability in (("anonymous THPs", "thp"), ("swap", "swap"), ("KSM", "ksm")):
        assert (states[name] == "works") == probe().has(capability)
    assert states["scenarios on real processes"] == "works"
    assert states["`rmaplab inspect`"] in ("works", "estimate")


@pytest.mark.live
@pytest.mark.xdist_group("live")
@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_the_kernel_that_runs_is_a_column_and_boots_nothing() -> None:
    ended = rmaplab("kernel", "features", "--kernel", "here", "--json")
    assert ended.returncode == 0
    ((title, features),) = json.loads(ended.stdout).items()
    assert title == f"{platform.release()}, here"
    assert {"name": "scenarios on real processes", "state": "works", "why": ""} in features


def test_an_unknown_kernel_is_one_line() -> None:
    ended = rmaplab("kernel", "features", "--kernel", "5.4")
    assert ended.returncode == 2
    assert "'5.4': must be of here, 6.1" in ended.stderr
