"""Memory that leaves: MADV_COLD, MADV_FREE, MADV_PAGEOUT, of anonymous folios and of the page cache."""
