"""Machines run scenarios and emit traces: `live` on the running kernel, `model` as an executable Linux mm."""
