"""Memory models as data: the published axioms, one a line, in the notation of cat.py.

For whoever holds them against the files they follow. A name on the left of `=` is a relation or a set over the events
of one execution; `acyclic`, `irreflexive` and `empty` are the axioms. The text is ours, the facts are those of the
sources named; what a source has for accesses that no program here makes (device memory, page tables, SRCU) is left
out and said. All seven are held against `herd7` (docs/races.md).

Relations every model starts from: po, addr, data, ctrl, rmw, rf, co, loc, ext, int, id. Sets: R, W, F, IW (the
initial stores), and the model's own tags. A 16-byte access is two accesses of 8 bytes that every axiom of acyclicity
takes for one (`si` in the mixed-size models).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class MemoryModel:
    """`text` are its axioms; `tags` what its events carry. `full`: fences over which no store passes an earlier read;
    `full_after_rmw`: the same for reads up to a read-modify-write before the fence; `full_before_rmw`: for one behind it
    and what follows; `release`: what passes no earlier read; `acquire`: what nothing later passes; `full_rmw`:
    read-modify-writes that with both are such a fence. (They spare guesses only.)

    `future`: the model allows cycles of po and rf, so a read may return a store that comes later in (po | rf)+.
    `marked`: if any, only stores with one of these tags keep behind reads that they depend on by data or control.
    `plain`: what it says besides of plain accesses, with the flag `race`; empty where it does not know such.
    """

    name: str
    title: str
    source: str
    tags: tuple[str, ...]
    full: tuple[str, ...]
    full_after_rmw: tuple[str, ...]
    full_before_rmw: tuple[str, ...]
    release: tuple[str, ...]
    acquire: tuple[str, ...]
    full_rmw: tuple[str, ...]
    future: bool
    text: str
    plain: str
    marked: tuple[str, ...]


_COMMON: Final = """
let M = R | W
let po-loc = po & loc
let fr = (rf^-1 ; co) \\ id
let rfe = rf & ext
let rfi = rf & int
let coe = co & ext
let fre = fr & ext
let com = rf | co | fr
"""

_SC: Final = """
acyclic po | com as sequential-consistency
"""

_TSO: Final = """
acyclic po-loc | com as uniproc
empty rmw & (fre ; coe) as atomic
let locked = [domain(rmw) | range(rmw)]
let ppo = (po & ([M] ; po ; [M])) \\ ([W] ; po ; [R])
let fenced = po ; [MFENCE] ; po
let implied = [W] ; po ; [R] ; locked | locked ; [W] ; po ; [R]
acyclic ppo | fenced | implied | rfe | fr | co as tso
"""

_RC11: Final = """
let sb = po
let rb = fr
let eco = (rf | co | rb)+
let atomics = [RLX | ACQ | REL | ACQ_REL | SC]
let rs = [W] ; atomics ; (rf ; rmw)*
let release = [REL | ACQ_REL | SC] ; ([F] ; sb)? ; rs
let sw = release ; rf ; [R] ; atomics ; (sb ; [F])? ; [ACQ | ACQ_REL | SC]
let hb = (sb | sw)+
irreflexive hb ; eco? as coherence
empty rmw & (rb ; co) as atomicity
acyclic po-loc | com as one-access
let sbl = sb \\ loc
let scb = sb | sbl ; hb ; sbl | (hb & loc) | co | rb
let pscb = ([SC] | [F & SC] ; hb?) ; scb ; ([SC] | hb? ; [F & SC])
let pscf = [F & SC] ; (hb | hb ; eco ; hb) ; [F & SC]
acyclic pscb | pscf as SC
acyclic sb | rf as no-thin-air
"""

# Not ordered by happens-before, one of them a store, one of them not atomic. The first stores come before all.
_RC11_PLAIN: Final = """
let conflict = [M & ~IW] ; (loc & ext) ; [W & ~IW]
let meets = ([NA] ; conflict) | (conflict ; [NA])
flag (meets \\ hb) \\ hb^-1 as race
"""

_LKMM: Final = """
acyclic po-loc | com as coherence
empty rmw & (fre ; coe) as atomic
let Marked = F | IW | Once | Release | Acquire | Noreturn | domain(rmw) | range(rmw)
let Plain = M & ~Marked
let carry-dep = (data ; rfi)*
let address = carry-dep ; addr
let control = carry-dep ; ctrl
let value = carry-dep ; data
let acq-po = [Acquire] ; po ; [M]
let po-rel = [M] ; po ; [Release]
let po-unlock-lock-po = po ; [UL] ; (po | rf) ; [LKR] ; po
let R4rmb = R & ~Noreturn
let rmb = [R4rmb] ; po ; [Rmb] ; po ; [R4rmb]
let wmb = [W] ; po ; [Wmb] ; po ; [W]
let RMW = domain(rmw) | range(rmw)
let mb-plain = [M] ; po ; [Mb] ; po ; [M]
let mb-before = [M] ; po ; [Before-atomic] ; po ; [RMW] ; po? ; [M]
let mb-after = [M] ; po? ; [RMW] ; po ; [After-atomic] ; po ; [M]
let mb-spin = [M] ; po? ; [LKW] ; po ; [After-spinlock] ; po ; [M]
let mb-unlock-lock = [M] ; po-unlock-lock-po ; [After-unlock-lock] ; po ; [M]
let mb = mb-plain | mb-before | mb-after | mb-spin | mb-unlock-lock
let gp = po ; [Sync-rcu] ; po?
let strong-fence = mb | gp
let nonrw-fence = strong-fence | po-rel | acq-po
let fence = nonrw-fence | wmb | rmb
let dep = address | value
let overwrite = co | fr
let to-w = (dep | control) ; [W] | (overwrite & int) | address ; [Plain] ; wmb
let to-r = address ; [R] | dep ; [Marked] ; rfi
let ppo = to-r | to-w | (fence & int) | (po-unlock-lock-po & int)
let rmw-sequence = (rf ; rmw)*
let A-cumul = (rfe ; [Marked])?
let cumul-fence = [Marked] ; (A-cumul ; (strong-fence | po-rel) | wmb | po-unlock-lock-po) ; [Marked] ; rmw-sequence
let prop = [Marked] ; (overwrite & ext)? ; cumul-fence* ; [Marked] ; rfe? ; [Marked]
let hb = [Marked] ; (ppo | rfe | ((prop \\ id) & int)) ; [Marked]
acyclic hb as happens-before
let pb = prop ; strong-fence ; hb* ; [Marked]
acyclic pb as propagation
let rcu-gp = [Sync-rcu]
let rscs = ([Rcu-lock] ; po ; [Rcu-unlock]) \\ (po ; [Rcu-lock | Rcu-unlock] ; po)
let section = rscs^-1
let rcu-link = po? ; hb* ; pb* ; prop ; po
let rcu-pair = rcu-gp ; rcu-link ; section | section ; rcu-link ; rcu-gp
let rec rcu-order = rcu-gp | rcu-pair | rcu-gp ; rcu-link ; rcu-order ; rcu-link ; section
    | section ; rcu-link ; rcu-order ; rcu-link ; rcu-gp | rcu-order ; rcu-link ; rcu-order
let rcu-fence = po ; rcu-order ; po?
let rb = prop ; rcu-fence ; hb* ; pb* ; [Marked]
irreflexive rb as rcu
"""

_LKMM_PLAIN: Final = """
let xbstar = (hb | pb | rb)*
let all-fence = fence | rcu-fence
let all-strong = strong-fence | rcu-fence
let vis = cumul-fence* ; rfe? ; [Marked] ; (all-strong ; [Marked] ; xbstar | xbstar & int)
let after-rmb = [R4rmb] ; po ; [Rmb] ; po ; [M & ~Noreturn]
let before-rmb = [M & ~Noreturn] ; po ; [Rmb] ; po ; [R4rmb]
let w-pre-bounded = [Marked] ; (address | all-fence)?
let r-pre-bounded = [Marked] ; (address | nonrw-fence | after-rmb)?
let w-post-bounded = all-fence? ; [Marked] ; rmw-sequence
let r-post-bounded = (nonrw-fence | before-rmb)? ; [Marked]
let ww-vis = all-fence | all-strong ; xbstar ; w-pre-bounded | w-post-bounded ; vis ; w-pre-bounded
let wr-vis = all-fence | all-strong ; xbstar ; r-pre-bounded | w-post-bounded ; vis ; r-pre-bounded
let rw-xbstar = all-fence | r-post-bounded ; xbstar ; w-pre-bounded
let meets = [Plain] ; ext ; [M] | [M & ~IW] ; ext ; [Plain]
empty (meets & rf & rw-xbstar^-1) | (meets & fr & wr-vis^-1) | (meets & co & ww-vis^-1) as plain-coherence
let ww-apart = ww-vis & ([Marked] ; all ; [W] | rw-xbstar) & ([W] ; all ; [Marked] | wr-vis)
let ww-race = (meets & co) \\ ww-apart
let wr-race = (meets & (co? ; rf)) \\ wr-vis \\ rw-xbstar^-1
let rw-race = (meets & fr) \\ rw-xbstar
flag ww-race | wr-race | rw-race as race
"""

_ARMV8: Final = """
acyclic po-loc | com as internal
empty rmw & (fre ; coe) as atomic
let obs = rfe | fre | coe
let lrs = rfi & po
let haz = [R] ; po-loc ; [R] ; (fre | ([R] ; fr & ext)) ; [W]
let lws = [M] ; po-loc ; [W]
let dob-plain = addr | data | ctrl ; [W] | addr ; [M] ; po ; [W] | (addr | data) ; lrs
let dob-isb = (ctrl | addr ; [M] ; po) ; [ISB] ; po ; [R]
let aob = rmw | rmw ; lrs ; [A | Q]
let bob-dmb = po ; [DMB] ; po | [R & ~NoRet] ; po ; [DMB.LD] ; po | [W] ; po ; [DMB.ST] ; po ; [W]
let bob-amo = [range([A & AMO] ; rmw ; [L])] ; po
let bob-half = [L] ; po ; [A] | [A | Q] ; po | po ; [L]
let lob = ([M] ; (lws | dob-plain | dob-isb | aob | bob-dmb | bob-amo | bob-half) ; [M])+
acyclic obs | lob | haz as external
"""

_RISCV: Final = """
acyclic po-loc | com as coherence
let po-loc-no-w = po-loc \\ (po-loc? ; [W] ; po-loc)
let rsw = rf^-1 ; rf
let AQ = Acq | AcqRel
let RL = Rel | AcqRel
let r1 = [M] ; po-loc ; [W]
let r2 = ([R] ; po-loc-no-w ; [R]) \\ rsw
let r3 = [AMO | X] ; rfi ; [R]
let r4-rw = [M] ; po ; [Fence.rw.rw] ; po ; [M]
let r4-others = [R] ; po ; [Fence.r.rw] ; po ; [M] | [M] ; po ; [Fence.rw.w] ; po ; [W]
    | [W] ; po ; [Fence.w.w] ; po ; [W] | [R] ; po ; [Fence.r.r] ; po ; [R]
let r4-tso = [W] ; po ; [Fence.tso] ; po ; [W] | [R] ; po ; [Fence.tso] ; po ; [M]
let r5 = [AQ] ; po ; [M]
let r6 = [M] ; po ; [RL]
let RCsc = (AQ | RL) & (AMO | X)
let r7 = [RCsc] ; po ; [RCsc]
let r8 = rmw
let r9 = [M] ; addr ; [M]
let r10 = [M] ; data ; [W]
let r11 = [M] ; ctrl ; [W]
let r12 = [M] ; (addr | data) ; [W] ; rfi ; [R]
let r13 = [M] ; addr ; [M] ; po ; [W]
let ppo = r1 | r2 | r3 | r4-rw | r4-others | r4-tso | r5 | r6 | r7 | r8 | r9 | r10 | r11 | r12 | r13
acyclic co | rfe | fr | ppo as model
empty rmw & (fre ; coe) as atomic
"""

_POWER: Final = """
acyclic po-loc | com as sc-per-location
empty rmw & (fre ; coe) as atomic
let dd = addr | data
let rdw = po-loc & (fre ; rfe)
let detour = po-loc & (coe ; rfe)
let ctrlisync = ctrl ; [ISYNC] ; po
let ci0 = ctrlisync | detour
let ii0 = dd | rfi | rdw
let cc0 = dd | po-loc | ctrl | addr ; po
let rec ci = ci0 | ci ; ii | cc ; ci and ii = ii0 | ci | ic ; ci | ii ; ii and cc = cc0 | ci | ci ; ic
    | cc ; cc and ic = ii | cc | ic ; cc | ii ; ic
let ppo = [R] ; ii ; [R] | [R] ; ic ; [W]
let strong = [M] ; po ; [SYNC] ; po ; [M]
let light = ([M] ; po ; [LWSYNC] ; po ; [M]) \\ ([W] ; po ; [R])
let fence = strong | light
let hb = ppo | fence | rfe
acyclic hb as no-thin-air
let propbase = (fence | rfe ; fence) ; hb*
let chapo = rfe | fre | coe | fre ; rfe | coe ; rfe
let prop = [W] ; propbase ; [W] | chapo? ; propbase* ; strong ; hb*
acyclic co | prop as propagation
irreflexive fre ; prop ; hb* as observation
let reserved = po & ([domain(rmw) | range(rmw)] ; po ; [domain(rmw) | range(rmw)])
acyclic co | reserved as reservations
"""


def _model(
    name: str,
    title: str,
    source: str,
    tags: str,
    full: str,
    release: str,
    acquire: str,
    text: str,
    plain: str = "",
    marked: str = "",
) -> MemoryModel:
    fences = full.split()
    return MemoryModel(
        name,
        title,
        source,
        tuple(tags.split()),
        tuple(tag for tag in fences if not tag.endswith("-atomic")),
        tuple(tag for tag in fences if tag == "After-atomic"),
        tuple(tag for tag in fences if tag == "Before-atomic"),
        tuple(release.split()),
        tuple(tag for tag in acquire.split() if tag != "AMO"),
        tuple(tag for tag in acquire.split() if tag == "AMO"),
        bool(fences),
        _COMMON + text,
        plain,
        tuple(marked.split()),
    )


_HERD: Final = "herd7's"
MODELS: Final[Mapping[str, MemoryModel]] = MappingProxyType(
    {
        m.name: m
        for m in (
            _model("sc", "sequential consistency", f"Lamport 1979; {_HERD} sc.cat", "", "", "", "", _SC),
            _model("tso", "x86-TSO", f"Owens, Sarkar, Sewell 2009; {_HERD} x86tso.cat", "MFENCE", "", "", "", _TSO),
            _model(
                "c11",
                "RC11",
                f"Lahav et al., PLDI 2017, with C++20's release sequence; {_HERD} rc11.cat",
                "NA RLX ACQ REL ACQ_REL SC",
                "",
                "",
                "",
                _RC11,
                _RC11_PLAIN,
            ),
            _model(
                "lkmm",
                "Linux' model",
                "tools/memory-model/linux-kernel.{bell,cat} and lock.cat of 6.12; no SRCU",
                "Once Acquire Release Noreturn LKR LKW UL LF RU Mb Rmb Wmb Before-atomic After-atomic After-spinlock "
                "After-unlock-lock Rcu-lock Rcu-unlock Sync-rcu",
                "Mb Sync-rcu After-atomic Before-atomic",
                "Release",
                "Acquire",
                _LKMM,
                _LKMM_PLAIN,
                "Once Release LKW UL",
            ),
            _model(
                "armv8",
                "Armv8",
                f"Arm ARM B2.3; {_HERD} aarch64.cat, without page tables, tags and instruction fetch",
                "A L Q NoRet AMO X DMB DMB.LD DMB.ST ISB",
                "DMB",
                "L",
                "A Q AMO",
                _ARMV8,
            ),
            _model(
                "riscv",
                "RISC-V RVWMO",
                f"Unprivileged ISA, appendix A; {_HERD} riscv.cat",
                "Acq Rel AcqRel AMO X Fence.rw.rw Fence.r.rw Fence.rw.w Fence.w.w Fence.r.r Fence.tso",
                "Fence.rw.rw Fence.r.rw Fence.rw.w Fence.tso",
                "Rel AcqRel",
                "Acq AcqRel",
                _RISCV,
            ),
            _model(
                "power",
                "Power",
                f"Alglave, Maranget, Tautschnig, TOPLAS 2014; {_HERD} ppc.cat",
                "SYNC LWSYNC ISYNC",
                "SYNC LWSYNC",
                "",
                "",
                _POWER,
            ),
        )
    }
)
