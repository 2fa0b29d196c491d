"""`python -m rmaplab.machine.differential -n N --seed S`: N random programs, the running kernel against the model.

Progress and mismatches go to stderr as they come, the last line to stdout is the sum. Exit 0: agreed; 1: a mismatch,
or too much had to be set aside; 2: usage; 3: this system does not let one look.
"""

import argparse
import sys

from rmaplab.machine.differential.jobs import run_campaign
from rmaplab.machine.differential.plan import OPTIONAL, Plan, without
from rmaplab.machine.protocol import BadOperation, NotAvailable


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rmaplab.machine.differential", description=__doc__)
    parser.add_argument("-n", type=int, default=2000, help="programs (default 2000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first program; the others follow it")
    parser.add_argument("--steps", type=int, default=30, help="operations a program (default 30)")
    parser.add_argument("--kernel", default="linux-6.18", help="the model's kernel (default linux-6.18)")
    parser.add_argument("--jobs", type=int, default=1, help="processes, each on a CPU of its own (default 1)")
    parser.add_argument("--without", default="", help=f"what programs do without, by commas: {', '.join(OPTIONAL)}")
    options = parser.parse_args(arguments)
    if min(options.n, options.steps, options.jobs) < 1:
        parser.error(f"-n {options.n} --steps {options.steps} --jobs {options.jobs}: all must be positive")
    try:
        plan = Plan(options.kernel, options.steps, without(options.without))
        counts = run_campaign(plan, range(options.seed, options.seed + options.n), options.jobs).counts
    except BadOperation as bad:
        parser.error(str(bad))
    except NotAvailable as missing:
        print(missing, file=sys.stderr)
        return 3
    print(counts.report(options.kernel))
    return counts.exit_code


if __name__ == "__main__":
    sys.exit(main())
