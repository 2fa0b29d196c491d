// SPDX-License-Identifier: GPL-2.0
// Everywhere that a large folio's mapcount changes. hugetlb has its own functions, and is left alone.
// file: mm/rmap.c
// expect: add 2 in __folio_add_rmap: rmaplab_add_or(
// expect: call 1 in __folio_add_anon_rmap: __folio_add_rmap(* vma,
// expect: call 1 in __folio_add_file_rmap: __folio_add_rmap(* vma,
// expect: new 2 in folio_add_new_anon_rmap: rmaplab_set_or(
// expect: remove 2 in __folio_remove_rmap: rmaplab_sub_or(

@add@
expression nr;
@@
 __folio_add_rmap(struct folio *folio, struct page *page, int nr_pages,
+	struct vm_area_struct *vma,
 	enum rmap_level level, int *nr_pmdmapped)
 {
 <...
(
-	atomic_add(nr, &folio->_large_mapcount);
+	rmaplab_add_or(folio, nr, vma, atomic_add(nr, &folio->_large_mapcount));
|
-	atomic_inc(&folio->_large_mapcount);
+	rmaplab_add_or(folio, 1, vma, atomic_inc(&folio->_large_mapcount));
)
 ...>
 }

@call@
expression folio, page, nr_pages, level, pmd;
identifier fn =~ "^__folio_add_(anon|file)_rmap$";
@@
 fn(...)
 {
 <...
-	__folio_add_rmap(folio, page, nr_pages, level, pmd)
+	__folio_add_rmap(folio, page, nr_pages, vma, level, pmd)
 ...>
 }

@new@
expression nr;
@@
 folio_add_new_anon_rmap(...)
 {
 <...
(
-	atomic_set(&folio->_large_mapcount, nr - 1);
+	rmaplab_set_or(folio, nr, vma, atomic_set(&folio->_large_mapcount, nr - 1));
|
-	atomic_set(&folio->_large_mapcount, 0);
+	rmaplab_set_or(folio, 1, vma, atomic_set(&folio->_large_mapcount, 0));
)
 ...>
 }

@remove@
expression nr;
@@
 __folio_remove_rmap(...)
 {
 <...
(
-	atomic_sub(nr, &folio->_large_mapcount);
+	rmaplab_sub_or(folio, nr, vma, atomic_sub(nr, &folio->_large_mapcount));
|
-	atomic_dec(&folio->_large_mapcount);
+	rmaplab_sub_or(folio, 1, vma, atomic_dec(&folio->_large_mapcount));
)
 ...>
 }
