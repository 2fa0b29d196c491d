"""What a page fault does: first touch, copy-on-write, file pages, swap-in; and GUP, which faults from outside."""
