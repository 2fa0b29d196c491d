"""Copy-on-write watched on a running system: who copies, where, and was it needed. For `rmaplab watch`."""
