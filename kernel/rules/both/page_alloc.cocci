// SPDX-License-Identifier: GPL-2.0
// A scheme's words must be 0 again when it is freed: every mapping was taken away by whom it was made for.
// file: mm/page_alloc.c
// expect: clean 1 in free_tail_page_prepare: rmaplab_clean(

@clean@
identifier free_tail_page_prepare =~ "^free_tail_page_prepare$";
@@
 free_tail_page_prepare(...)
 {
 <...
 	if (unlikely(!list_empty(&folio->_deferred_list))) {
 		bad_page(page, "on deferred list");
 		goto out;
 	}
+	if (unlikely(!rmaplab_clean(folio))) {
+		bad_page(page, "rmap values left");
+		goto out;
+	}
 ...>
 }
