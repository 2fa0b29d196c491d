"""A running system's memory: which folios are mapped exclusively, which shared, and what the kernel makes of it."""
