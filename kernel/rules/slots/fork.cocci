// SPDX-License-Identifier: GPL-2.0
// The kernel's own ID serves, if it has no more bits than the sums allow for.
// file: kernel/fork.c
// expect: limit 1 in mm_alloc_id: rmaplab_id_max(
// expect: end 1 in mm_free_id: rmaplab_mm_destroy(
// expect: begin 1 in mm_init: rmaplab_mm_init(

@limit@
expression low, high, flags;
@@
 mm_alloc_id(...)
 {
 <...
 	ida_alloc_range(&mm_ida, low,
-		high,
+		rmaplab_id_max(high),
 		flags)
 ...>
 }

@end@
@@
 mm_free_id(struct mm_struct *mm)
 {
 	...
+	rmaplab_mm_destroy(mm);
 	mm->mm_id = MM_ID_DUMMY;
 	...
 }

@begin@
@@
 mm_init(struct mm_struct *mm, ...)
 {
 <...
 	if (mm_alloc_id(mm))
 		goto fail_noid;
+	if (rmaplab_mm_init(mm))
+		goto fail_nocontext;
 ...>
 }
