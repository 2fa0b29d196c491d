// SPDX-License-Identifier: GPL-2.0
// An MM brings along its rmap ID.
// file: include/linux/mm_types.h
// expect: header 1: #include <linux/rmaplab_types.h>
// expect: member 1: struct rmaplab_mm rmaplab;

@header@
@@
 #include <linux/mm_types_task.h>
+#include <linux/rmaplab_types.h>

@member@
@@
 struct mm_struct {
 	struct {
 		...
 		struct maple_tree mm_mt;
+		struct rmaplab_mm rmaplab;
 		...
 	} __randomize_layout;
 	...
 };
