"""The tours of docs/tours.md with the real programs: each finds what it says, and its change helps."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live"), pytest.mark.usefixtures("nothing_stays")]

TOURS = Path(__file__).parent.parent.parent / "examples" / "tours"


def need(tour: str) -> None:
    """Skip where the program is missing."""
    missing = {
        "snapshot": not (shutil.which("redis-server") and shutil.which("redis-cli")),
        "prefork": importlib.util.find_spec("gunicorn") is None,
        "backends": not (list(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or shutil.which("initdb")),
    }
    if missing.get(tour):
        pytest.skip(f"{tour}: its program is not installed")


@pytest.mark.parametrize(
    ("tour", "named"),
    [
        ("loader", "listiter_next"),
        ("forks", "needless"),
        ("prefork", "pages in"),
        ("snapshot", "pages in"),
        ("backends", "pages in"),
    ],
)
def test_the_change_saves_more_than_half_of_the_copies(tour: str, named: str) -> None:
    need(tour)
    done = subprocess.run(
        [sys.executable, str(TOURS / f"{tour}.py"), "--json"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["before"] > 2
    assert found["after"] < 0.5 * found["before"]
    assert named in " ".join(found["answer"])
