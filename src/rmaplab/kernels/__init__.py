"""Kernels: where each comes from, building, and booting them in QEMU.

For `rmaplab kernel`, for the lab machine and for tests that need a kernel other than the running one.
"""
