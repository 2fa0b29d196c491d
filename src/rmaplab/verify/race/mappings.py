"""Platform mappings: what events the operations of `core/platform.h` are under each model.

For programs.py. The names on the left are the rows of c/record.h. A compiler's coding of C11 atomics, or for Linux' model
kernel/'s `platform.h`. Sources: the published C11 mappings, Arm's and RISC-V's manuals (ISA appendix A.5). What
compilers make of core/platform.h is held against them (tests/race/test_compilers.py); the same, but that clang 14 has
lwsync behind an acquire on Power, which is stronger. What the kernel's platform.h calls is held against Linux' model's
(tests/race/test_kernel_platform.py).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rmaplab.verify.race.engine import Row

Rows = Mapping[str, Row]

_RELAXED: Final = ("read", "write", "add", "add_return", "cmpxchg", "read128")
_PLAIN: Final = ("plain_read", "plain_write")


def _same(names: tuple[str, ...], row: Row) -> dict[str, Row]:
    return dict.fromkeys(names, row)


def _plain(full: Row) -> Rows:
    """Models in which only full fences, if anything, say something."""
    weak = (
        *_RELAXED,
        *_PLAIN,
        *("read_acquire", "write_release", "add_release", "add_return_acquire", "add_return_release", "add_negative"),
        *("fetch_or_acquire", "fetch_and_release", "cmpxchg_acquire", "cmpxchg_release", "cmpxchg128", "full_add_return"),
        *("full_cmpxchg", "fence_release", "fence_acquire", "rmb", "wmb"),
    )
    return {**_same(weak, Row()), **_same(("fence_full", "after_atomic", "before_atomic"), full)}


# Locked instructions are barriers on x86, and smp_mb__{before,after}_atomic() are nothing.
_TSO: Final = {**_plain(Row(before=("MFENCE",))), **_same(("after_atomic", "before_atomic"), Row())}

_RLX, _ACQ, _REL, _SEQ = ("RLX",), ("ACQ",), ("REL",), ("SC",)
_C11: Final[Rows] = {
    **_same(_RELAXED, Row(_RLX, _RLX, failed=_RLX)),
    **_same(_PLAIN, Row(("NA",), ("NA",))),
    "read_acquire": Row(_ACQ),
    "write_release": Row((), _REL),
    **_same(("add_release", "add_return_release", "fetch_and_release"), Row(_RLX, _REL)),
    **_same(("add_return_acquire", "fetch_or_acquire", "cmpxchg_acquire"), Row(_ACQ, _RLX, failed=_RLX)),
    "cmpxchg_release": Row(_RLX, _REL, failed=_RLX),
    "add_negative": Row(_ACQ, _REL),
    "cmpxchg128": Row(_SEQ, _SEQ, failed=_SEQ),
    "fence_release": Row(before=_REL),
    "fence_acquire": Row(before=_ACQ),
    "fence_full": Row(before=_SEQ),
    # Linux' own, as C11 can say them: fully ordered is seq_cst with a fence on either side.
    **_same(("full_add_return", "full_cmpxchg"), Row(_SEQ, _SEQ, _SEQ, _SEQ, _RLX)),
    **_same(("after_atomic", "before_atomic"), Row(before=_SEQ)),
    "rmb": Row(before=_ACQ),
    "wmb": Row(before=_REL),
}

_ONCE, _MB = ("Once",), ("Mb",)
_LKMM: Final[Rows] = {
    **_same(_RELAXED, Row(_ONCE, _ONCE, failed=_ONCE)),
    **_same(_PLAIN, Row()),
    "add": Row(("Noreturn",), _ONCE),
    "read_acquire": Row(("Acquire",), early=False),
    "write_release": Row((), ("Release",)),
    **_same(("add_release", "add_return_release", "fetch_and_release"), Row(_ONCE, ("Release",))),
    **_same(("add_return_acquire", "fetch_or_acquire"), Row(("Acquire",), _ONCE, early=False)),
    "cmpxchg_acquire": Row(("Acquire",), _ONCE, failed=_ONCE),  # early if it fails: then it acquires nothing
    "cmpxchg_release": Row(_ONCE, ("Release",), failed=_ONCE),
    **_same(
        ("add_negative", "cmpxchg128", "full_add_return", "full_cmpxchg"),
        Row(_ONCE, _ONCE, _MB, _MB, _ONCE, quiet=True),
    ),
    # docs/core.md: the release fence stands behind an entry only, the acquire fence between loads only.
    "fence_release": Row(before=("After-atomic",)),
    "fence_acquire": Row(before=("Rmb",)),
    "fence_full": Row(before=_MB),
    "after_atomic": Row(before=("After-atomic",)),
    "before_atomic": Row(before=("Before-atomic",)),
    "rmb": Row(before=("Rmb",)),
    "wmb": Row(before=("Wmb",)),
}


def _armv8(unit: str, void: tuple[str, ...]) -> Rows:
    """`unit`: AMO for LSE's single instructions, X for load- and store-exclusive. `void`: tags of a read nobody looks
    at.
    """
    u = (unit,)
    acquire, release = ("A", unit), ("L", unit)
    return {
        **_same(("read", "write", "read128", *_PLAIN), Row()),
        **_same(("add_return", "cmpxchg"), Row(u, u, failed=u)),
        "add": Row((*u, *void), u),
        "add_release": Row((*u, *void), release),
        "read_acquire": Row(("A",), early=False),
        "write_release": Row((), ("L",)),
        **_same(("add_return_release", "fetch_and_release", "cmpxchg_release"), Row(u, release, failed=u)),
        **_same(
            ("add_return_acquire", "fetch_or_acquire", "cmpxchg_acquire"),
            Row(acquire, u, failed=acquire, early=False),
        ),
        **_same(("add_negative", "cmpxchg128"), Row(acquire, release, failed=acquire, early=False)),
        # Linux: LSE's with acquire and release, or exclusives with release and a dmb behind.
        **_same(
            ("full_add_return", "full_cmpxchg"),
            Row(acquire, release, failed=acquire, early=False) if unit == "AMO" else Row(u, release, (), ("DMB",), u),
        ),
        **_same(("fence_release", "fence_full", "after_atomic", "before_atomic"), Row(before=("DMB",))),
        **_same(("fence_acquire", "rmb"), Row(before=("DMB.LD",))),
        "wmb": Row(before=("DMB.ST",)),
    }


_FULL: Final = ("Fence.rw.rw",)
_RISCV: Final[Rows] = {
    **_same(("read", "write", "read128", *_PLAIN), Row()),
    **_same(("add", "add_return"), Row(("AMO",), ("AMO",))),
    "cmpxchg": Row(("X",), ("X",), failed=("X",)),
    "read_acquire": Row(after=("Fence.r.rw",), early=False),
    "write_release": Row(before=("Fence.rw.w",)),
    **_same(("add_release", "add_return_release", "fetch_and_release"), Row(("AMO",), ("AMO", "Rel"))),
    **_same(("add_return_acquire", "fetch_or_acquire"), Row(("AMO", "Acq"), ("AMO",), early=False)),
    "cmpxchg_acquire": Row(("X", "Acq"), ("X",), failed=("X", "Acq"), early=False),
    "cmpxchg_release": Row(("X",), ("X", "Rel"), failed=("X",)),
    "add_negative": Row(("AMO", "Acq"), ("AMO", "Rel"), early=False),
    **_same(("full_add_return",), Row(("AMO", "Acq", "Rel"), ("AMO", "Acq", "Rel"), early=False)),
    **_same(("full_cmpxchg", "cmpxchg128"), Row(("X",), ("X", "Rel"), (), _FULL, ("X",))),
    "fence_release": Row(before=("Fence.rw.w",)),
    **_same(("fence_acquire",), Row(before=("Fence.r.rw",))),
    **_same(("fence_full", "after_atomic", "before_atomic"), Row(before=_FULL)),
    "rmb": Row(before=("Fence.r.r",)),
    "wmb": Row(before=("Fence.w.w",)),
}

_LW, _SYNC, _ISYNC = ("LWSYNC",), ("SYNC",), ("ISYNC",)
_POWER: Final[Rows] = {
    **_same((*_RELAXED, *_PLAIN), Row()),
    "read_acquire": Row(after=_ISYNC, branch=True, early=False),
    "write_release": Row(before=_LW),
    **_same(("add_release", "add_return_release", "fetch_and_release", "cmpxchg_release"), Row(before=_LW)),
    **_same(
        ("add_return_acquire", "fetch_or_acquire", "cmpxchg_acquire"),
        Row(after=_ISYNC, branch=True, early=False),
    ),
    "add_negative": Row(before=_LW, after=_ISYNC, branch=True, early=False),
    "cmpxchg128": Row(before=_SYNC, after=_ISYNC, fail=_ISYNC, branch=True, early=False),
    **_same(("full_add_return", "full_cmpxchg"), Row(before=_SYNC, after=_SYNC)),
    **_same(("fence_release", "fence_acquire", "rmb", "wmb"), Row(before=_LW)),
    **_same(("fence_full", "after_atomic", "before_atomic"), Row(before=_SYNC)),
}

#: Mapping by the name of the model's column: a model and, where there are several, the coding.
MAPPINGS: Final[Mapping[str, tuple[str, Rows]]] = MappingProxyType(
    {
        "sc": ("sc", _plain(Row())),
        "tso": ("tso", _TSO),
        "c11": ("c11", _C11),
        "lkmm": ("lkmm", _LKMM),
        "armv8": ("armv8", _armv8("AMO", ("NoRet",))),
        "armv8-llsc": ("armv8", _armv8("X", ())),
        "riscv": ("riscv", _RISCV),
        "power": ("power", _POWER),
    }
)
