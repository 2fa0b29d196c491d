"""With how many others a process shares memory: the one sum that needs sets of MMs, not numbers of them.

For the JSON. Most folios of a family are mapped by few different sets of MMs; each set is looked at once.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.join import Index, spread
from rmaplab.inspect.snapshot import Snapshot

_WORD: Final = 64


def sharers(snapshot: Snapshot) -> Index:
    """With how many other MMs each target shares at least one folio: int64, in the order of the targets."""
    place, owner = _members(snapshot)
    sets, members = distinct_sets(place, owner)
    return neighbours(sets, members, snapshot.targets, len(snapshot.mms))


def _members(snapshot: Snapshot) -> tuple[Index, Index]:
    """Place (an interval or an odd folio that several MMs map) and MM of every mapping, as two columns."""
    sharing, joined = snapshot.sharing, snapshot.sharing.joined
    several = np.flatnonzero(joined.owners > 1)
    depth = joined.depth[several]
    place = np.concatenate((np.repeat(several, depth), len(joined) + sharing.odd.folio))
    extent = np.concatenate((joined.extent[spread(joined.ptr[several], depth)], sharing.odd.extent))
    return place, sharing.owner[extent].astype(np.int64)


def distinct_sets(place: Index, owner: Index) -> tuple[Index, Index]:
    """The different sets of owners that places have, as pairs (number of the set, owner), ascending.

    First every place's owners are put in order and doubles dropped, then places are told apart by the sum of their
    owners' random 64-bit names: two sets of one sum have a chance of 2^-64. O(rows log rows).
    """
    if not len(place):
        return place, owner
    width = int(owner.max()) + 1
    pair = np.sort(place * width + owner)
    pair = pair[np.append(True, pair[1:] != pair[:-1])]
    place, owner = pair // width, pair % width
    first = np.flatnonzero(np.diff(place, prepend=-1))
    names = np.random.default_rng(0).integers(1 << 63, size=width, dtype=np.uint64)
    _, kept = np.unique(np.add.reduceat(names[owner], first), return_index=True)
    count = np.diff(np.append(first, len(owner)))[kept]
    return np.repeat(np.arange(len(kept)), count), owner[spread(first[kept], count)]


def neighbours(sets: Index, members: Index, wanted: Index, mms: int) -> Index:
    """How many others are in a set with each of `wanted`: int64. O(rows * mms / 64): one bit an MM and set.

    First the sets of 64 MMs at a time become words of bits, then each MM wanted collects the words of its sets.
    """
    out = np.zeros(mms, np.int64)
    mine = np.isin(members, wanted)
    order = np.argsort(members[mine], kind="stable")
    owner, of_set = members[mine][order], sets[mine][order]
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    for low in range(0, mms, _WORD):
        near = (members >= low) & (members < low + _WORD)
        bits: NDArray[np.uint64] = np.zeros(int(sets[-1]) + 1 if len(sets) else 0, np.uint64)
        np.bitwise_or.at(bits, sets[near], np.uint64(1) << (members[near] - low).astype(np.uint64))
        if len(first) and near.any():
            out[owner[first]] += np.bitwise_count(np.bitwise_or.reduceat(bits[of_set], first)).astype(np.int64)
    return np.asarray(np.maximum(out - 1, 0)[wanted])
