"""A finding with everything that can be said of its witness.

For the command line and the face.
"""

from dataclasses import replace

from rmaplab.verify.refute.elsewhere import on_the_core, on_the_model
from rmaplab.verify.refute.problem import Finding
from rmaplab.verify.refute.replay import replayed
from rmaplab.verify.refute.words import LINEAR


def with_replays(finding: Finding) -> Finding:
    """With what engine, model and C core say of the witness. User functions have no scheme to replay."""
    if finding.witness is None or finding.config.scheme not in LINEAR:
        return finding
    answers = [where(finding.config, finding.witness) for where in (replayed, on_the_model, on_the_core)]
    return replace(finding, replays=tuple(a for a in answers if a))
