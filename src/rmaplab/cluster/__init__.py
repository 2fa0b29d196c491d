"""Dask's workers as the engine of campaigns: many processes here, or many machines.

For the commands with `--scheduler`. Nothing else imports this package: Dask comes with the extra `rmaplab[cluster]`.
"""

from importlib.util import find_spec

from rmaplab.errors import NotAvailable


def require_dask() -> None:
    """Raise NotAvailable, with what to install, unless Dask is there."""
    try:
        there = find_spec("distributed") is not None
    except ModuleNotFoundError:
        there = False
    if not there:
        raise NotAvailable("--scheduler: needs Dask, which is not installed: pip install 'rmaplab[cluster]'")
