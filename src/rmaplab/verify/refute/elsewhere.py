"""A witness on the executable model of Linux mm and on the C core: the same wrong verdict, with its consequence.

For the command line and tests. The model runs the whole story: a THP, a process for every MM of the witness, each
keeping as many pages as the witness says, and a write by the caller. Where a configuration cannot be expressed there,
the functions return None.
"""

from dataclasses import replace
from typing import Final

from rmaplab.core import Folios, Op, available, variants
from rmaplab.machine.model import ContentLeak, ModelMachine, kernels
from rmaplab.machine.protocol import PAGE_SIZE, PMD_ORDER, Process
from rmaplab.schemes import SCHEMES
from rmaplab.verify.refute.problem import Config, Witness
from rmaplab.verify.refute.replay import as_scheme

_MOST_PROCESSES: Final = 4096
_SERIES: Final = "series-2023"


def on_the_model(config: Config, witness: Witness) -> str | None:
    """What a write by the caller, which maps one page of its own, does under the series' rules with this scheme.

    None where the model has no such folio, no such rmap ID (it hands them out densely), or no page is left.
    """
    scheme = as_scheme(config)
    ids = [witness.mm, *witness.mappings]
    if scheme is None or config.order > PMD_ORDER or max(ids) > _MOST_PROCESSES or witness.mapcount >= config.pages:
        return None
    keep = {**witness.mappings, witness.mm: 1}
    with ModelMachine(replace(kernels[_SERIES], scheme=scheme)) as machine:
        address, processes = _mapped(machine, config, keep)
        written = processes[witness.mm].write(address, PAGE_SIZE)
        if not written.reused:
            return "on the model: the write copies the page"
        for mm in sorted(witness.mappings):
            try:
                processes[mm].read(address, PAGE_SIZE)
            except ContentLeak:
                return f"on the model: the page is reused, and MM {mm} reads what MM {witness.mm} wrote"
    return "on the model: the page is reused, and nobody notices"


def _mapped(machine: ModelMachine, config: Config, keep: dict[int, int]) -> tuple[int, dict[int, Process]]:
    """One folio, and a process for each rmap ID of `keep` that maps that many of its first pages; no others do."""
    size = config.pages * PAGE_SIZE
    parent: Process = machine.spawn()
    address = parent.mmap(size, order=config.order)
    parent.write(address, size)
    processes = {parent.mm: parent}
    for mm in range(parent.mm + 1, max(keep) + 1):
        if mm in keep:
            processes[mm] = parent.fork()
        else:
            machine.spawn().exit()
    for mm, process in processes.items():
        if mm not in keep:
            process.exit()
        elif keep[mm] < config.pages:
            process.madvise(address + keep[mm] * PAGE_SIZE, (config.pages - keep[mm]) * PAGE_SIZE, "dontneed")
    return address, processes


def on_the_core(config: Config, witness: Witness) -> str | None:
    """What the C core's scheme answers, without and with a page of the caller's own; None if it has no such one."""
    if not available() or as_scheme(config) is not SCHEMES["generations"]:
        return None
    own = (0, 1) if witness.mapcount < config.pages else (0,)
    ids = [witness.mm, *witness.mappings]
    folios = Folios(variants()["generations"], config.order, len(own), ids)
    for folio, pages_of_caller in enumerate(own):
        page = 0
        for index, pages in enumerate((pages_of_caller, *witness.mappings.values())):
            if pages:
                folios.apply(Op.MAP, folio, index, page, pages)
            page += pages
    answers = {folios.verdict(folio, 0).name.lower() for folio in range(len(own))}
    return f"on the C core: {' and '.join(sorted(answers))}"
