"""`rmaplab merge`: the parts of a campaign put together, as if it had been carried out in one piece."""

from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from rmaplab.campaigns import CampaignError, load_parts
from rmaplab.campaigns import merge as merge_parts

_CAMPAIGNS: Final = MappingProxyType(
    {
        "differential": "differential",
        "mutants": "mutants",
        "race": "race",
        "refute": "refute",
        "stress": "stress",
        "trace": "trace",
    }
)
"""Commands that have one, and the module whose `campaign_of` and `present` know it."""


def merge(
    directory: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Directories given to --resume.")],
    as_json: Annotated[bool, typer.Option("--json", help="What the command itself prints with --json.")] = False,
) -> None:
    """Put the parts of a campaign together, as if it had been carried out in one piece.

    Prints, and exits with, what the command itself would have. A part that is missing, there twice, unfinished or of
    another campaign is named.
    """
    parts = load_parts(directory)
    if parts.command not in _CAMPAIGNS:
        known = ", ".join(_CAMPAIGNS)
        raise CampaignError(f"{parts.listed[0].path}: command {parts.command[:40]!r}: must be one of {known}")
    module = import_module(f"rmaplab.cli.{_CAMPAIGNS[parts.command]}")
    try:
        campaign = module.campaign_of(parts.parameters)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CampaignError(f"{parts.listed[0].path}: parameters: {error}: are none of {parts.command}") from error
    module.present(campaign, merge_parts(campaign, parts), as_json)
