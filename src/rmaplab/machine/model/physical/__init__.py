"""Physical memory: frames and folios, who counts what, and the rmap updates that change it. Knows no address space."""
