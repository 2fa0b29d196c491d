"""Address spaces: VMAs (each names the file it maps), page tables, and what is asked about the folios in them."""
