"""`python -m rmaplab.machine.differential.inside HOW PROGRAMS`: random programs in a guest. For the lab, which reads it.

HOW is `lives`: what each program was seen to do, one after the other, as `unpacked` reads it outside, where the model is;
or `whole`: they are held against the model here, run again and shrunk where they mismatch, and what that came to is JSON.
PROGRAMS is a JSON list: the model's kernel, steps, what to do without, and the seeds.
"""

import json
import sys

from rmaplab.machine.differential.campaign import Campaign
from rmaplab.machine.differential.lived import Lived, live, packed
from rmaplab.machine.differential.plan import Plan
from rmaplab.machine.differential.units import Programs, Told
from rmaplab.machine.protocol import MachineError, NotAvailable


def main() -> None:
    """Run them."""
    how, (kernel, steps, without, seeds) = sys.argv[1], json.loads(sys.argv[2])
    plan = Plan(kernel, steps, frozenset(without))
    if how == "whole":
        told = Told()
        for seed in seeds:
            told = told.merge(Programs.here(plan, range(seed, seed + 1)).run(0))
        json.dump(told.to_json(), sys.stdout)
        return
    campaign = Campaign(plan)
    for seed in seeds:
        program = campaign.program(seed)
        try:
            lived = Lived(seed, program, live(program))
        except (NotAvailable, MachineError) as error:
            lived = Lived(seed, program, error)
        sys.stdout.buffer.write(packed(lived))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
