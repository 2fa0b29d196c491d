"""The kernel's own tests of mm (tools/testing/selftests/mm), built from its tree and run in a guest that boots it.

For `rmaplab kernel test`. The programs are linked statically against the tree's own headers, made outside of the tree.
Each has a boot of its own, so none sees what another left.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rmaplab.errors import NotAvailable
from rmaplab.kernels.guest import PATIENCE, Guest
from rmaplab.kernels.obtain import Bootable
from rmaplab.kernels.progress import say
from rmaplab.kernels.qemu import Hardware

_WHERE: Final = "tools/testing/selftests"
_SHARED: Final = ("vm_util.c", "hugepage_settings.c", "thp_settings.c")
"""Of mm/: linked with every program, as far as the tree has them."""

_LIBRARIES: Final = {"liburing.h": "-luring", "numa.h": "-lnuma"}
_SKIPPED: Final = 4
"""Exit status by which a test program says that it could not run here."""


@dataclass(frozen=True, slots=True)
class Program:
    """A test program of mm/ and its arguments, on so many CPUs and NUMA nodes."""

    name: str
    arguments: str = ""
    cpus: int = 2
    nodes: int = 1
    memory: int = 3072

    @property
    def title(self) -> str:
        return f"{self.name} {self.arguments}".strip()


PROGRAMS: Final = (
    Program("cow"),
    Program("khugepaged"),
    Program("khugepaged", "-s 2"),
    Program("khugepaged", "all:shmem"),
    Program("ksm_functional_tests"),
    Program("migration", cpus=4, nodes=2),
    Program("mremap_test"),
    Program("mremap_dontunmap"),
    Program("uffd-unit-tests"),
    Program("uffd-stress", "anon 20 16"),
    Program("uffd-stress", "shmem 20 16"),
    Program("uffd-wp-mremap"),
)
"""cow, khugepaged, KSM, migration, mremap and userfaultfd: what asks or changes who maps a large folio."""


@dataclass(slots=True)
class Tally:
    """What a program said: numbers of tests, and the names of those that failed. `why`: it could not run at all."""

    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    splats: list[str] = field(default_factory=list)
    why: str = ""

    @property
    def tests(self) -> int:
        """How many it came to."""
        return self.passed + self.skipped + len(self.failed)

    def to_dict(self) -> dict[str, int]:
        """As `rmaplab kernel test --json` prints it."""
        return {"pass": self.passed, "fail": len(self.failed), "skip": self.skipped}


def build(tree: Path, into: Path, programs: Sequence[Program] = PROGRAMS) -> dict[str, bytes]:
    """The programs of the kernel source `tree`, by name; what cannot be linked is missing, and stderr says why.

    Raises NotAvailable where the tree has no such tests, or its headers cannot be made.
    """
    here = tree / _WHERE / "mm"
    if not here.is_dir():
        raise NotAvailable(f"{tree}: has no {_WHERE}/mm: the kernel's own tests need its source")
    compiler = shutil.which("gcc")
    if not compiler or not shutil.which("make"):
        raise NotAvailable("no gcc or no make: the kernel's own tests must be compiled")
    headers = into / "headers"
    headers.mkdir()
    made = subprocess.run(
        ["make", "-s", "-C", tree, f"O={headers}", "headers"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise NotAvailable(f"{tree}: make headers failed: {(made.stderr.strip() or '?').splitlines()[0]}")
    libraries = [flag for header, flag in _LIBRARIES.items() if _has_header(compiler, header)]
    config = "#define LOCAL_CONFIG_HAVE_LIBURING 1\n" if "-luring" in libraries else ""
    for name in ("local_config.h", "local_config.h_gen"):  # its name in older and newer trees
        (into / name).write_text(config)
    search = [f"-I{into}", f"-I{tree}", f"-I{tree / _WHERE}"]
    search += ["-isystem", f"{headers}/usr/include", "-isystem", f"{tree}/tools/include/uapi"]
    flags = ["-w", "-O2", "-static", "-no-pie", "-D_GNU_SOURCE=", "-U_FORTIFY_SOURCE", *search]
    found: dict[str, bytes] = {}
    for name in dict.fromkeys(program.name for program in programs):
        if not (here / f"{name}.c").is_file():
            say(f"{tree.name}: has no selftest {name}")
            continue
        sources = [f"{name}.c", *(["uffd-common.c"] if name.startswith("uffd-") else []), *_SHARED]
        files = [str(here / source) for source in sources if (here / source).is_file()]
        out = into / name
        command = [compiler, *flags, "-o", str(out), *files, *libraries, "-lrt", "-lpthread", "-lm"]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            errors = [line for line in made.stderr.splitlines() if "error" in line or "undefined" in line]
            say(f"{tree.name}: selftest {name} cannot be built: {(errors or ['?'])[0].strip()}")
        else:
            found[name] = out.read_bytes()
    return found


def _has_header(compiler: str, header: str) -> bool:
    made = subprocess.run(
        [compiler, "-E", "-include", header, "-x", "c", os.devnull], capture_output=True, text=True, check=False
    )
    return made.returncode == 0


def run(boots: Bootable, built: Mapping[str, bytes], program: Program) -> Tally:
    """The program in a boot of its own. One that is not in `built` did not run, and says so. Raises NotAvailable,
    GuestError."""
    if program.name not in built:
        return Tally(why="not built")
    say(f"{boots.image.title}{' ' if boots.append else ''}{boots.append}: selftest {program.title}")
    pages = 64 if program.name in ("cow", "uffd-unit-tests", "uffd-wp-mremap") else 0
    script = f"""
        mount -t tmpfs -o huge=advise tmpfs /tmp
        mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm
        echo {pages} >/proc/sys/vm/nr_hugepages
        echo 512M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null && swapon /dev/zram0
        ulimit -l unlimited
        cd /lab && ./{program.name} {shlex.join(program.arguments.split())}
    """
    hardware = Hardware(program.memory, program.cpus, root=False, disk=False, nodes=program.nodes)
    with Guest(boots.image, script, hardware, boots.append, {f"lab/{program.name}": built[program.name]}) as guest:
        ended = guest.wait(PATIENCE)
    text = ended.out.decode(errors="replace")
    tally = count(text, ended.status)
    tally.splats = ended.splats
    return tally


def count(text: str, status: int) -> Tally:
    """What a test program's output and exit status say: TAP, or the older programs' own words."""
    tally = Tally()
    for passed, skipped, name in _results(text):
        if skipped:
            tally.skipped += 1
        elif passed:
            tally.passed += 1
        else:
            tally.failed.append(name)
    if status == _SKIPPED and not tally.failed:
        why = re.findall(r"# SKIP (.*)", text) or text.strip().splitlines()[-1:]
        tally.why = why[-1] if why else "skipped"
        tally.skipped = tally.skipped or 1
    elif status and not tally.failed:
        tally.failed.append(f"exit status {status}")
    elif not status and not (tally.passed or tally.skipped or tally.failed):
        tally.passed = 1
    return tally


def _results(text: str) -> Iterator[tuple[bool, bool, str]]:
    """(passed, skipped, name) of each test."""
    tap = re.findall(r"^(ok|not ok) \d+ ?(.*)$", text, re.MULTILINE)
    if tap:
        for word, name in tap:
            yield word == "ok", "# SKIP" in name or "# XFAIL" in name, name.strip()
        return
    for line in text.splitlines():
        if colour := re.search(r"\x1b\[3([123])m(.*?)\x1b", line):  # khugepaged, to 6.18
            before = re.sub(r"\x1b\[\d*m", "", line).strip()
            yield colour[1] == "2", colour[1] == "3", before
        elif said := re.match(r"Testing (.*)\.\.\. (done|skipped|failed)", line):  # uffd-unit-tests, to 6.18
            yield said[2] == "done", said[2] == "skipped", said[1]
