"""Where pages come from and go to: page cache and its readahead, shmem, the swap device and the swap cache."""
