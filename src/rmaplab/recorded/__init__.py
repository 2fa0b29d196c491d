"""Traces that come with the package, recorded by `rmaplab run ... --save-trace`, for machines that cannot run live.

For `rmaplab demo`. Where each was recorded stands in its `meta.json`.
"""

from pathlib import Path


def recorded(scenario: str) -> Path:
    """Directory of the recorded trace of `scenario`."""
    return Path(__file__).parent / scenario
