"""Summaries in an object store (moto's, on 127.0.0.1) give the report that the same files in a directory give."""

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from commands import rmaplab
from rmaplab.fleet import SCHEMA, store

server = pytest.importorskip("moto.server", reason="needs moto and flask")
boto3 = pytest.importorskip("boto3")

ACCESS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
MONDAY = 1_764_547_200
ROW = {"version": 1, "kernel": "6.18", "exactness": "exact", "command": "c", "cgroup": "/", "age": 2, "false_shared": 0}
MEMORY = {"kind": "anon", "order": 9, "mms": 0}
COUNT = {"kind": "mms", "order": None, "mms": 2, "resident": 0, "exclusive": 0, "needless": 0}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that answers, until the tests of this file are done."""
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(scope="module")
def place(url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hosts on two days in a directory, and in the bucket `fleet` under `looks/`."""
    root = tmp_path_factory.mktemp("fleet")
    for n, host in enumerate(("a", "b")):
        for day in range(2):
            known = {**ROW, "taken": MONDAY + 86400 * day, "image": f"program{n}"}
            memory = {**MEMORY, "resident": 100 + 10 * n + day, "exclusive": 60 + n, "needless": 5 * n}
            store(pl.DataFrame([{**known, **memory}, {**known, **COUNT}], schema=SCHEMA), root, host)
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    client.create_bucket(Bucket="fleet")
    for path in root.rglob("*.parquet"):
        client.upload_file(str(path), "fleet", f"looks/{path.relative_to(root)}")
    return root


def test_a_bucket_is_reported_as_a_directory_with_the_same_files_is(place: Path, url: str) -> None:
    env = {**os.environ, **ACCESS, "AWS_ENDPOINT_URL": url}
    there = rmaplab("fleet", "report", "s3://fleet/looks", "--json", env=env, check=True).stdout
    assert there == rmaplab("fleet", "report", str(place), "--json", check=True).stdout
    assert '"needless": 5' in there


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("where", "rc", "said"), [("fleet/empty", 2, "holds no summary"), ("none/looks", 3, "cannot be read")]
)
def test_a_bucket_without_summaries_is_no_fleet_of_nobody(where: str, rc: int, said: str, url: str) -> None:
    done = rmaplab("fleet", "report", f"s3://{where}", env={**os.environ, **ACCESS, "AWS_ENDPOINT_URL": url})
    assert (done.returncode, done.stdout) == (rc, "")
    (line,) = done.stderr.splitlines()
    assert f"s3://{where}" in line
    assert said in line
