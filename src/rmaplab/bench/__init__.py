"""What the schemes cost on real atomics: the C core's operations, timed and counted against each other.

`operations` times single operations, `streams` the rmap-ID series' eight benchmarks as streams of rmap updates,
`small` compares the small folio's path instruction by instruction, `aims` holds the results against what they should
be. For `rmaplab bench`; `rmaplab.report.bench` shows what comes out. Not for the kernel's own cost: no page table, no PTE
and no page fault is touched here.
"""
