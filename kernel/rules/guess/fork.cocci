// SPDX-License-Identifier: GPL-2.0
// An rmap ID from mm_init() until the last reference to the MM is gone.
// file: kernel/fork.c
// expect: begin 1 in mm_init: rmaplab_mm_init(
// expect: undo 1 in mm_init: rmaplab_mm_destroy(
// expect: end 1 in __mmdrop: rmaplab_mm_destroy(

@begin@
@@
 mm_init(struct mm_struct *mm, ...)
 {
 <...
 	if (mm_alloc_pgd(mm))
 		goto fail_nopgd;
+	if (rmaplab_mm_init(mm))
+		goto fail_nocontext;
 ...>
 }

@undo@
@@
 mm_init(...)
 {
 <...
+	rmaplab_mm_destroy(mm);
 	mm_free_pgd(mm);
 ...>
 }

@end@
@@
 __mmdrop(struct mm_struct *mm)
 {
 	...
 	mm_free_pgd(mm);
+	rmaplab_mm_destroy(mm);
 	...
 }
