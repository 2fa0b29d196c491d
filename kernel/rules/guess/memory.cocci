// SPDX-License-Identifier: GPL-2.0
// fork() says for whom it maps; a write fault asks the scheme.
// file: mm/memory.c
// expect: file_many 1 in copy_present_ptes: folio_dup_file_rmap_ptes(* dst_vma)
// expect: file_one 1 in copy_present_ptes: folio_dup_file_rmap_pte(* dst_vma)
// expect: anon_many 1 in copy_present_ptes: folio_try_dup_anon_rmap_ptes(* dst_vma,
// expect: anon_one 1 in copy_present_ptes: folio_try_dup_anon_rmap_pte(* dst_vma,
// expect: anon_one 1 in copy_nonpresent_pte: folio_try_dup_anon_rmap_pte(* dst_vma,
// expect: reuse 1 in wp_can_reuse_anon_folio: rmaplab_can_reuse(

@file_many@
expression folio, page, nr;
@@
-	folio_dup_file_rmap_ptes(folio, page, nr)
+	folio_dup_file_rmap_ptes(folio, page, nr, dst_vma)

@file_one@
expression folio, page;
@@
-	folio_dup_file_rmap_pte(folio, page)
+	folio_dup_file_rmap_pte(folio, page, dst_vma)

@anon_many@
expression folio, page, nr, src;
@@
-	folio_try_dup_anon_rmap_ptes(folio, page, nr, src)
+	folio_try_dup_anon_rmap_ptes(folio, page, nr, dst_vma, src)

@anon_one@
expression folio, page, src;
@@
-	folio_try_dup_anon_rmap_pte(folio, page, src)
+	folio_try_dup_anon_rmap_pte(folio, page, dst_vma, src)

@reuse@
@@
 wp_can_reuse_anon_folio(struct folio *folio, struct vm_area_struct *vma)
 {
 	...
 	if (folio_test_large(folio))
-		return false;
+		return rmaplab_can_reuse(folio, vma, false);
 	...
 }
