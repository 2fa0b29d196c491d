// SPDX-License-Identifier: GPL-2.0
// "Mapped by more than one MM?" is answered by the scheme, where it does not keep the kernel's own flag.
// file: include/linux/mm.h
// expect: header 1: #include <linux/rmaplab.h>
// expect: answer 1 in folio_maybe_mapped_shared: rmaplab_answer(

@header@
@@
 #include <linux/mm_types.h>
+#include <linux/rmaplab.h>

@answer@
@@
 folio_maybe_mapped_shared(struct folio *folio)
 {
 	...
-	return test_bit(FOLIO_MM_IDS_SHARED_BITNUM, &folio->_mm_ids);
+	return rmaplab_answer(folio, test_bit(FOLIO_MM_IDS_SHARED_BITNUM, &folio->_mm_ids));
 }
