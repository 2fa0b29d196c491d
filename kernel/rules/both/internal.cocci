// SPDX-License-Identifier: GPL-2.0
// A scheme's words are 0 when a compound page is made.
// file: mm/internal.h
// expect: prepare 1 in prep_compound_head: rmaplab_prepare(

@prepare@
@@
 prep_compound_head(struct page *page, unsigned int order)
 {
 	...
 	struct folio *folio = (struct folio *)page;
 	...
 	atomic_set(&folio->_large_mapcount, -1);
+	rmaplab_prepare(folio, order);
 	...
 }
