"""Every execution of a few threads under a memory model: `rmaplab race`, litmus tests, and what both stand on."""
