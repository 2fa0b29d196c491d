"""`python -m rmaplab.machine.differential.inside PROGRAMS`: some programs, and as JSON what they came to. For the lab.

PROGRAMS is a JSON list: the model's kernel, steps, what to do without, first seed, programs.
"""

import json
import sys

from rmaplab.machine.differential.jobs import run_campaign
from rmaplab.machine.differential.plan import Plan


def main() -> None:
    """Run them."""
    kernel, steps, without, first, programs = json.loads(sys.argv[1])
    told = run_campaign(Plan(kernel, steps, frozenset(without)), range(first, first + programs))
    json.dump(told.to_json(), sys.stdout)


if __name__ == "__main__":
    main()
