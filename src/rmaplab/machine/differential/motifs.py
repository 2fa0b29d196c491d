"""Short sequences that reach what single random steps seldom do: one range, operations that matter to each other.

For the generator, which strews them in. Each was made for rules random steps did not reach (`make mutants` tells): an
advice that counts only while nobody wrote, a boundary that matters only if the VMA's other side is used, a child that is
gone before the write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from rmaplab.machine.differential.program import Do

Where = Literal["all", "part", "first", "rest"]
"""Pages of the motif's area: all; some part, the same in all steps; its first page; all but its first page."""


@dataclass(frozen=True, slots=True)
class Move:
    """One operation of a motif. `who` 0 is the process that owns the area, 1 the child it forked in this motif; `chance`
    that it is there at all."""

    do: Do
    where: Where = "all"
    who: int = 0
    advice: str = ""
    writable: bool = False
    readable: bool = True
    shared: bool = False
    longterm: bool = False
    disabled: bool = True
    protected: bool = True
    chance: float = 1.0


def _advise(advice: str, where: Where = "all", *, who: int = 0, chance: float = 1.0) -> Move:
    return Move("madvise", where, who, advice=advice, chance=chance)


_WRITE, _READ = Move("write"), Move("read")
_FORK = Move("fork")
_CHILD_GONE = Move("exit", who=1)

MOTIFS: Final[Mapping[str, tuple[Move, ...]]] = {
    "lazily freed, written in part, reclaimed": (
        _WRITE,
        Move("fork", chance=0.6),
        Move("exit", who=1, chance=0.7),
        Move("mprotect", "first", chance=0.5),
        Move("mprotect", "all", writable=True, chance=0.5),
        _advise("free"),
        Move("pin", "part", chance=0.3),
        Move("write", "part", chance=0.7),
        _advise("pageout"),
        _READ,
    ),
    "dirty, cached in swap, lazily freed by one of two": (
        _WRITE,
        _FORK,
        _advise("pageout", chance=0.5),
        Move("read", chance=0.5),
        Move("write", "part", who=1, chance=0.5),
        _advise("free"),
        _advise("pageout", who=1),
        Move("read", who=1),
    ),
    "partly unmapped, then reclaimed": (
        _WRITE,
        _advise("dontneed", "part"),
        Move("write", "part", chance=0.4),
        _advise("pageout"),
        _READ,
        _advise("pageout", "part"),
        Move("write", "part"),
    ),
    "held and reclaimed": (
        _WRITE,
        Move("pin", "part"),
        _advise("pageout"),
        Move("unpin"),
        Move("fork", chance=0.4),
        _advise("pageout"),
        _WRITE,
    ),
    "held and migrated": (
        _WRITE,
        Move("pin", "part", longterm=True, chance=0.6),
        Move("migrate", shared=True),
        Move("migrate", "part"),
        Move("unpin"),
        Move("migrate"),
        Move("write", "part"),
    ),
    "out, forked, in by both": (
        _WRITE,
        _advise("pageout"),
        Move("read", "part", chance=0.5),
        _advise("pageout", chance=0.3),
        _FORK,
        Move("read", "part", who=1),
        Move("write", "part"),
        Move("write", who=1, chance=0.7),
        Move("exit", who=1, chance=0.5),
        _WRITE,
    ),
    "the last mapped page": (
        _WRITE,
        _FORK,
        _advise("dontneed", "rest", who=1),
        _advise("dontneed", "all", chance=0.7),
        Move("write", "first", who=1),
        Move("write", "first", chance=0.5),
    ),
    "copied by one until the other is alone": (
        _WRITE,
        _FORK,
        _advise("dontneed", "part", who=1),
        Move("write"),
        Move("write", who=1),
        _FORK,
        _CHILD_GONE,
        _WRITE,
    ),
    "unshared, then written": (
        _WRITE,
        _FORK,
        Move("peek", "part", who=1),
        Move("peek", "part"),
        Move("exit", who=1, chance=0.5),
        Move("write", "part"),
    ),
    "a boundary, and back": (
        Move("mprotect", "part", chance=0.5),
        _advise("nohugepage", "part", chance=0.5),
        Move("write", "first", chance=0.3),
        Move("fork", chance=0.5),
        Move("mprotect", "part", writable=True),
        _advise("hugepage", "part", chance=0.7),
        _advise("hugepage"),
        Move("write", who=1, chance=0.5),
        _WRITE,
        _advise("collapse", chance=0.5),
    ),
    "emptied, and filled again": (
        _WRITE,
        _advise("dontneed", chance=0.6),
        _advise("dontneed", "part"),
        _advise("dontneed", "rest", chance=0.5),
        Move("read", "part", chance=0.3),
        Move("write", "part"),
        _WRITE,
    ),
    "collapsed though held, shared or partly there": (
        Move("write", "part"),
        _advise("dontneed", "part", chance=0.3),
        Move("fork", chance=0.4),
        Move("pin", "first", chance=0.4),
        _advise("collapse"),
        _advise("collapse", "part", chance=0.4),
        Move("unpin", chance=0.6),
        _advise("collapse"),
        _WRITE,
    ),
    "wiped or not forked": (
        _WRITE,
        _advise("wipeonfork", "part", chance=0.5),
        _advise("dontfork", "part", chance=0.5),
        _FORK,
        Move("read", who=1),
        _advise("keeponfork", chance=0.5),
        _advise("dofork", chance=0.5),
        _FORK,
        Move("write", "part"),
    ),
    "guards": (
        _WRITE,
        _advise("pageout", "part", chance=0.3),
        _advise("guard_install", "part"),
        _advise("collapse", chance=0.4),
        Move("fork", chance=0.6),
        _advise("dontneed", chance=0.5),
        _advise("guard_remove", "first", chance=0.5),
        Move("write", who=1, chance=0.4),
        _advise("guard_remove", who=1),
        Move("read", who=1, chance=0.5),
        _advise("guard_remove", chance=0.7),
        _WRITE,
    ),
    "no access, yet there": (
        _WRITE,
        Move("fork", chance=0.5),
        Move("mprotect", "part", readable=False),
        _advise("cold", "part", chance=0.3),
        _advise("pageout", chance=0.3),
        Move("poke", chance=0.5),
        Move("migrate", shared=True, chance=0.4),
        Move("fork", chance=0.5),
        _advise("collapse", chance=0.4),
        Move("mprotect", "part", writable=True),
        Move("exit", who=1, chance=0.5),
        _WRITE,
    ),
    "locked": (
        _WRITE,
        Move("fork", chance=0.7),
        Move("mprotect", "part", chance=0.6),
        Move("mlock", "part"),
        _advise("dontneed", chance=0.4),
        _advise("pageout", chance=0.4),
        Move("mprotect", writable=True),
        Move("write", who=1, chance=0.4),
        Move("munlock", "first", chance=0.5),
        Move("fork", chance=0.4),
        _advise("pageout", chance=0.5),
        Move("mlock", who=1, chance=0.5),
        _WRITE,
    ),
    "out, and locked again": (
        _WRITE,
        Move("fork", chance=0.6),
        _advise("pageout"),
        Move("read", "part", who=1, chance=0.6),
        Move("mprotect", chance=0.5),
        Move("mlock", "part"),
        Move("mlock", who=1, chance=0.3),
        Move("munlock", chance=0.5),
        Move("mprotect", writable=True),
        _WRITE,
    ),
    "collapsed behind its back": (
        _WRITE,
        Move("mprotect", "part", chance=0.4),
        Move("mprotect", "all", writable=True, chance=0.4),
        _advise("hugepage", chance=0.5),
        _advise("dontneed", "part", chance=0.4),
        Move("fork", chance=0.7),
        Move("write", "part", who=1, chance=0.7),
        _advise("pageout", "part", chance=0.3),
        Move("pin", "first", chance=0.2),
        Move("khugepaged"),
        Move("write", "part"),
        Move("exit", who=1, chance=0.4),
        Move("khugepaged", chance=0.6),
        _WRITE,
    ),
    "no large folios for a while": (
        _advise("dontneed"),
        Move("thp_disable"),
        Move("write", "part"),
        Move("fork", chance=0.4),
        _advise("collapse", chance=0.5),
        Move("read", chance=0.5),
        Move("thp_disable", disabled=False, chance=0.6),
        _WRITE,
        Move("write", who=1, chance=0.6),
        _advise("collapse"),
    ),
    "writes tracked": (
        Move("write", "part", chance=0.8),
        Move("fork", chance=0.5),
        Move("uffd_wp", chance=0.7),
        Move("write", "first", chance=0.5),
        _advise("pageout", "part", chance=0.4),
        Move("uffd_wp", "part"),
        Move("read", chance=0.6),
        Move("peek", "part", chance=0.3),
        Move("write", "part", who=1, chance=0.4),
        Move("mprotect", "part", writable=True, chance=0.3),
        _advise("collapse", chance=0.5),
        Move("uffd_wp", "part", protected=False, chance=0.4),
        Move("fork", chance=0.4),
        _WRITE,
        Move("khugepaged", chance=0.4),
    ),
    "tracked, and taken apart": (
        _WRITE,
        Move("uffd_wp", "part"),
        _advise("free", chance=0.3),
        _advise("dontneed", "part", chance=0.4),
        _advise("guard_install", "part", chance=0.2),
        _advise("pageout", chance=0.6),
        Move("migrate", shared=True, chance=0.4),
        _advise("cold", "part", chance=0.3),
        Move("poke", "part", chance=0.4),
        Move("pin", "first", longterm=True, chance=0.3),
        _READ,
        Move("uffd_wp", "rest", chance=0.4),
        Move("mlock", chance=0.2),
        Move("write", "part"),
    ),
    "zeroes": (
        _WRITE,
        Move("write", "part"),
        _advise("cold", "part"),
        _advise("pageout"),
        _READ,
        Move("write", "part"),
    ),
}
"""By what they are about. On memory that cannot do a step of it (a file, say) a motif has refused steps."""
