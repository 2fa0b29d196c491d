"""Large folios split and collapsed under their mappings."""
