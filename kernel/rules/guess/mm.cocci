// SPDX-License-Identifier: GPL-2.0
// "Mapped by more than one MM?" is answered by the scheme.
// file: include/linux/mm.h
// expect: header 1: #include <linux/rmaplab.h>
// expect: answer 2 in folio_likely_mapped_shared: rmaplab_answer(

@header@
@@
 #include <linux/mm_types.h>
+#include <linux/rmaplab.h>

@answer@
expression many, first;
@@
 folio_likely_mapped_shared(struct folio *folio)
 {
 	...
 	if (folio_entire_mapcount(folio) || many)
-		return true;
+		return rmaplab_answer(folio, true);
-	return first;
+	return rmaplab_answer(folio, first);
 }
