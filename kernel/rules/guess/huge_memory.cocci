// SPDX-License-Identifier: GPL-2.0
// fork() says for whom it maps.
// file: mm/huge_memory.c
// expect: anon_pmd 1 in copy_huge_pmd: folio_try_dup_anon_rmap_pmd(* dst_vma,

@anon_pmd@
expression folio, page, src;
@@
-	folio_try_dup_anon_rmap_pmd(folio, page, src)
+	folio_try_dup_anon_rmap_pmd(folio, page, dst_vma, src)
