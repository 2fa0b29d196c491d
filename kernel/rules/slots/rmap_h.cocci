// SPDX-License-Identifier: GPL-2.0
// The three functions that change a large folio's mapcount.
// file: include/linux/rmap.h
// expect: header 1: #include <linux/rmaplab_rmap.h>
// expect: set 1 in folio_set_large_mapcount: rmaplab_set(
// expect: add 1 in folio_add_return_large_mapcount: rmaplab_add(
// expect: sub 1 in folio_sub_return_large_mapcount: rmaplab_sub(

@header@
@@
 #include <linux/memremap.h>
+#include <linux/rmaplab_rmap.h>

@set@
@@
 folio_set_large_mapcount(struct folio *folio, int mapcount, struct vm_area_struct *vma)
 {
+	if (rmaplab_set(folio, mapcount, vma))
+		return;
 	__folio_large_mapcount_sanity_checks(...);
 	...
 }

@add@
@@
 folio_add_return_large_mapcount(struct folio *folio, int diff, struct vm_area_struct *vma)
 {
 	...
 	int new_mapcount_val;
+
+	if (rmaplab_add(folio, diff, vma, &new_mapcount_val))
+		return new_mapcount_val;
 	folio_lock_large_mapcount(folio);
 	...
 }

@sub@
@@
 folio_sub_return_large_mapcount(struct folio *folio, int diff, struct vm_area_struct *vma)
 {
 	...
 	int new_mapcount_val;
+
+	if (rmaplab_sub(folio, diff, vma, &new_mapcount_val))
+		return new_mapcount_val;
 	folio_lock_large_mapcount(folio);
 	...
 }
