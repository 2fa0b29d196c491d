// SPDX-License-Identifier: GPL-2.0
// A write fault asks the scheme, where it does not keep the kernel's own flag; slots are checked where there are slots.
// file: mm/memory.c
// expect: reuse 1 in wp_can_reuse_anon_folio: rmaplab_can_reuse(
// expect: check 1 in __wp_can_reuse_large_anon_folio: rmaplab_slots_replaced(

@reuse@
@@
 wp_can_reuse_anon_folio(struct folio *folio, struct vm_area_struct *vma)
 {
 <...
-	return __wp_can_reuse_large_anon_folio(folio, vma);
+	return rmaplab_can_reuse(folio, vma, __wp_can_reuse_large_anon_folio(folio, vma));
 ...>
 }

@check@
expression E;
@@
 __wp_can_reuse_large_anon_folio(...)
 {
 <...
 	VM_WARN_ON_ONCE(
-		folio_mm_id(folio, 0) != E &&
-		folio_mm_id(folio, 1) != E
+		!rmaplab_slots_replaced() && folio_mm_id(folio, 0) != E && folio_mm_id(folio, 1) != E
 	);
 ...>
 }
