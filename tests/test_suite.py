"""What the suite itself relies on."""

import pytest


@pytest.mark.xdist_group("suite")
def test_tests_of_one_group_run_on_one_worker(request: pytest.FixtureRequest) -> None:
    """pytest-xdist groups by the end of a test's name; a pytest that hides it lets live machines run into each other."""
    if not getattr(request.config.option, "loadgroup", False):  # what a worker knows of --dist
        pytest.skip("not run with --dist loadgroup")
    assert request.node.nodeid.endswith("@suite")
