"""Extension module made by build_fast.py from c/: c/look.h says what each function does. Pointers are cffi's."""

from typing import Any, Protocol

from cffi import FFI

Pointer = Any

class Lib(Protocol):
    def rmap_scan(self, fd: int, where: Pointer, start: int, most: int, out: Pointer, absent: Pointer) -> int: ...
    def rmap_find_folios(
        self, fd: int, low: Pointer, high: Pointer, spans: int, start: int, most: int, out: Pointer
    ) -> int: ...
    def rmap_join_runs(
        self, narrow: Pointer, wide: Pointer, pages: Pointer, owner: Pointer, runs: int, out: Pointer
    ) -> int: ...
    def rmap_free(self, column: Pointer) -> None: ...

lib: Lib
ffi: FFI
