"""Trials of a kernel: scenarios and random programs played in booted kernels, judged, and held against model and scheme.

For `rmaplab kernel test`, `kernel features` and `differential --guest`. Above the machines and the judge; not here: how a
kernel is booted (`rmaplab.kernels`), how a machine in it is driven (`rmaplab.machine.lab`).
"""
