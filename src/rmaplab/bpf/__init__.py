"""BPF without a compiler: programs assembled here, verified by the kernel, loaded, attached, gone when we are.

For the inspector's reader of kernel objects and for `rmaplab watch`. Packages that do this bring libbpf with an object
file, and then a compiler (bcc: LLVM and kernel headers on the user's machine; pythonbpf: `llc`). These programs are some
hundred instructions; what they need of the kernel is bpf(2) and perf_event_open(2).

Nothing is pinned: every map, program and link lives by a descriptor of this process and ends with it, SIGKILL included.
"""
