"""The kernel's files about processes and pages, read: pagemap, smaps, kpageflags. For live machines and `inspect`."""
