"""How long until a sequence count comes round: widths of core/atomic_seqcount.h, and the price of a write section here.

For docs/proofs.md, "Width" (Width.v has the theorem). A map or unmap has one write section in it. The fastest of all
schemes, on a folio that nobody else touches and on one that two threads update at once, says how often sections close
on one word. It does more than the section, so a word can come round somewhat sooner.

    python benchmarks/wrap.py [--rounds 15] [--order 9] [--json]
"""

import argparse
import json
from typing import Any

import numpy as np

from rmaplab.bench.operations import UPDATE, Config, measure
from rmaplab.core import variants

STAGES = (
    ("shared, 64 bit", "", 48, 65535),
    ("cmpxchg, 64 bit", "+exclusive", 47, 65535),
    ("add-return, 64 bit", "+exclusive-add", 32, 65535),
    ("shared, 32 bit", "", 25, 127),
    ("cmpxchg, 32 bit", "+exclusive", 24, 127),
)
"""Writers, the suffix of its variants, bits of its sequence, and the writers it can count. The 32-bit word is priced as
the 64-bit one.
"""
SCHEMES = ("generations", "generations-safe", "bits", "moments", "one-value")
UNITS = (("years", 365.25 * 86400), ("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0), ("s", 1.0))


def lasting(seconds: float) -> str:
    """A time in its largest unit, two digits."""
    unit, size = next(((u, s) for u, s in UNITS if seconds >= s), UNITS[-1])
    return f"{seconds / size:.{3 if seconds >= 99 * size else 2}g} {unit}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--order", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = [scheme + suffix for scheme in SCHEMES for suffix in ("", "+exclusive", "+exclusive-add")]
    known = [name for name in names if name in variants()]
    configs = [Config(name, options.order, UPDATE, threads, threads == 2) for name in known for threads in (1, 2)]
    rows = measure(configs, options.rounds)
    found: list[dict[str, Any]] = []
    for stage, suffix, bits, writers in STAGES:
        mine = [row for row in rows if row.scheme.partition("+")[1:] == (suffix[:1], suffix[1:])]
        for threads in (1, 2):
            best = min((row for row in mine if row.threads == threads), key=lambda row: row.ns_median)
            # With two threads each of them closes a section in that time.
            low, fast, high = (float(ns) / threads for ns in np.percentile(best.runs_ns, [25, 50, 75]))
            found.append(
                {
                    "writers": stage,
                    "counts": writers,
                    "sections": 2**bits,
                    "threads": threads,
                    "scheme": best.scheme,
                    "ns": round(fast, 2),
                    "ns_quartiles": [round(low, 2), round(high, 2)],
                    "seconds": 2**bits * fast * 1e-9,
                }
            )
    if options.json:
        print(json.dumps(found, indent=1))
        return
    head = f"{'writers':20}{'at most':>8}{'sections':>10}{'threads':>9}{'ns each (quartiles)':>23}"
    print(f"{head}{'comes round after':>19}  fastest")
    for one in found:
        low, high = one["ns_quartiles"]
        ns = f"{one['ns']:.1f} ({low:.1f}-{high:.1f})"
        power = f"2^{one['sections'].bit_length() - 1}"
        print(
            f"{one['writers']:20}{one['counts']:>8}{power:>10}{one['threads']:>9}{ns:>23}"
            f"{lasting(one['seconds']):>19}  {one['scheme']}"
        )


if __name__ == "__main__":
    main()
