"""System calls on an address space that are not faults: fork, mremap, munmap, mprotect, madvise, mbind."""
