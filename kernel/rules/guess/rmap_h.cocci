// SPDX-License-Identifier: GPL-2.0
// To duplicate a mapping is to know for whom.
// file: include/linux/rmap.h
// expect: header 1: #include <linux/rmaplab_rmap.h>
// expect: file_all 2 in __folio_dup_file_rmap: rmaplab_add_or(
// expect: file_ptes 1 in folio_dup_file_rmap_ptes: __folio_dup_file_rmap(* dst_vma,
// expect: file_pte 1 in folio_dup_file_rmap_pte: __folio_dup_file_rmap(* dst_vma,
// expect: file_pmd 1 in folio_dup_file_rmap_pmd: __folio_dup_file_rmap(* dst_vma,
// expect: anon_all 2 in __folio_try_dup_anon_rmap: rmaplab_add_or(
// expect: anon_ptes 1 in folio_try_dup_anon_rmap_ptes: __folio_try_dup_anon_rmap(* dst_vma,
// expect: anon_pte 1 in folio_try_dup_anon_rmap_pte: __folio_try_dup_anon_rmap(* dst_vma,
// expect: anon_pmd 1 in folio_try_dup_anon_rmap_pmd: __folio_try_dup_anon_rmap(* dst_vma,

@header@
@@
 #include <linux/memremap.h>
+#include <linux/rmaplab_rmap.h>

@file_all@
expression nr;
@@
 __folio_dup_file_rmap(struct folio *folio, struct page *page, int nr_pages,
+	struct vm_area_struct *dst_vma,
 	enum rmap_level level)
 {
 <...
(
-	atomic_add(nr, &folio->_large_mapcount);
+	rmaplab_add_or(folio, nr, dst_vma, atomic_add(nr, &folio->_large_mapcount));
|
-	atomic_inc(&folio->_large_mapcount);
+	rmaplab_add_or(folio, 1, dst_vma, atomic_inc(&folio->_large_mapcount));
)
 ...>
 }

@file_ptes@
expression level;
@@
 folio_dup_file_rmap_ptes(struct folio *folio, struct page *page, int nr_pages
+	, struct vm_area_struct *dst_vma
 	)
 {
-	__folio_dup_file_rmap(folio, page, nr_pages, level);
+	__folio_dup_file_rmap(folio, page, nr_pages, dst_vma, level);
 }

@file_pte@
expression level;
@@
 folio_dup_file_rmap_pte(struct folio *folio, struct page *page
+	, struct vm_area_struct *dst_vma
 	)
 {
-	__folio_dup_file_rmap(folio, page, 1, level);
+	__folio_dup_file_rmap(folio, page, 1, dst_vma, level);
 }

@file_pmd@
expression level;
@@
 folio_dup_file_rmap_pmd(struct folio *folio, struct page *page
+	, struct vm_area_struct *dst_vma
 	)
 {
 <...
-	__folio_dup_file_rmap(folio, page, HPAGE_PMD_NR, level);
+	__folio_dup_file_rmap(folio, page, HPAGE_PMD_NR, dst_vma, level);
 ...>
 }

@anon_all@
expression nr;
@@
 __folio_try_dup_anon_rmap(struct folio *folio, struct page *page, int nr_pages,
+	struct vm_area_struct *dst_vma,
 	struct vm_area_struct *src_vma, enum rmap_level level)
 {
 <...
(
-	atomic_add(nr, &folio->_large_mapcount);
+	rmaplab_add_or(folio, nr, dst_vma, atomic_add(nr, &folio->_large_mapcount));
|
-	atomic_inc(&folio->_large_mapcount);
+	rmaplab_add_or(folio, 1, dst_vma, atomic_inc(&folio->_large_mapcount));
)
 ...>
 }

@anon_ptes@
expression level;
@@
 folio_try_dup_anon_rmap_ptes(struct folio *folio, struct page *page, int nr_pages,
+	struct vm_area_struct *dst_vma,
 	struct vm_area_struct *src_vma)
 {
-	return __folio_try_dup_anon_rmap(folio, page, nr_pages, src_vma, level);
+	return __folio_try_dup_anon_rmap(folio, page, nr_pages, dst_vma, src_vma, level);
 }

@anon_pte@
expression level;
@@
 folio_try_dup_anon_rmap_pte(struct folio *folio, struct page *page,
+	struct vm_area_struct *dst_vma,
 	struct vm_area_struct *src_vma)
 {
-	return __folio_try_dup_anon_rmap(folio, page, 1, src_vma, level);
+	return __folio_try_dup_anon_rmap(folio, page, 1, dst_vma, src_vma, level);
 }

@anon_pmd@
expression level;
@@
 folio_try_dup_anon_rmap_pmd(struct folio *folio, struct page *page,
+	struct vm_area_struct *dst_vma,
 	struct vm_area_struct *src_vma)
 {
 <...
-	return __folio_try_dup_anon_rmap(folio, page, HPAGE_PMD_NR, src_vma, level);
+	return __folio_try_dup_anon_rmap(folio, page, HPAGE_PMD_NR, dst_vma, src_vma, level);
 ...>
 }
