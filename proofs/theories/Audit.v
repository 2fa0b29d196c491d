(** * What the proofs rest on

    What: every claim of Statements.v beside its proof, and the axioms each uses.
    For: audit.py, which compiles this file, reads the answers, and fails unless each
    is "Closed under the global context". *)

From Rmaplab Require Import Statements Bookkeeping Linear Generations Values MmId Counters Collisions.

Check (truth_counts_proved : truth_counts).
Print Assumptions truth_counts_proved.

Check (truth_refuses_proved : truth_refuses).
Print Assumptions truth_refuses_proved.

Check (bookkeeping_proved : bookkeeping).
Print Assumptions bookkeeping_proved.

Check (generations_sound_proved : generations_sound).
Print Assumptions generations_sound_proved.

Check (sound_iff_no_short_relation_proved : sound_iff_no_short_relation).
Print Assumptions sound_iff_no_short_relation_proved.

Check (room_is_needed_proved : room_is_needed).
Print Assumptions room_is_needed_proved.

Check (generations_exactly_proved : generations_exactly).
Print Assumptions generations_exactly_proved.

Check (decide_correct_proved : decide_correct).
Print Assumptions decide_correct_proved.

Check (several_iff_one_proved : several_iff_one).
Print Assumptions several_iff_one_proved.

Check (generations_scheme_proved : generations_scheme).
Print Assumptions generations_scheme_proved.

Check (generations_safe_proved : generations_safe).
Print Assumptions generations_safe_proved.

Check (posted_sound_proved : posted_sound).
Print Assumptions posted_sound_proved.

Check (posted_refuted_proved : posted_refuted).
Print Assumptions posted_refuted_proved.

Check (posted_seventy_is_least_proved : posted_seventy_is_least).
Print Assumptions posted_seventy_is_least_proved.

Check (posted_seven_digits_sound_proved : posted_seven_digits_sound).
Print Assumptions posted_seven_digits_sound_proved.

Check (four_values_sound_proved : four_values_sound).
Print Assumptions four_values_sound_proved.

Check (bits_sound_proved : bits_sound).
Print Assumptions bits_sound_proved.

Check (moments_identity_proved : moments_identity).
Print Assumptions moments_identity_proved.

Check (moments_integers_proved : moments_integers).
Print Assumptions moments_integers_proved.

Check (moments_modulo_proved : moments_modulo).
Print Assumptions moments_modulo_proved.

Check (moments_sound_proved : moments_sound).
Print Assumptions moments_sound_proved.

Check (moments_room_proved : moments_room).
Print Assumptions moments_room_proved.

Check (owner_sound_proved : owner_sound).
Print Assumptions owner_sound_proved.

Check (one_value_sound_proved : one_value_sound).
Print Assumptions one_value_sound_proved.

Check (one_value_layout_proved : one_value_layout).
Print Assumptions one_value_layout_proved.

Check (packed_fields_proved : packed_fields).
Print Assumptions packed_fields_proved.

Check (packed_sound_proved : packed_sound).
Print Assumptions packed_sound_proved.

Check (packed_frozen_proved : packed_frozen).
Print Assumptions packed_frozen_proved.

Check (packed_room_proved : packed_room).
Print Assumptions packed_room_proved.

Check (mm_id_never_false_exclusive_proved : mm_id_never_false_exclusive).
Print Assumptions mm_id_never_false_exclusive_proved.

Check (mm_id_exact_for_two_proved : mm_id_exact_for_two).
Print Assumptions mm_id_exact_for_two_proved.

Check (mm_id_false_shared_proved : mm_id_false_shared).
Print Assumptions mm_id_false_shared_proved.

Check (owner_counter_never_false_exclusive_proved : owner_counter_never_false_exclusive).
Print Assumptions owner_counter_never_false_exclusive_proved.

Check (owner_counter_exact_while_first_mapper_maps_proved : owner_counter_exact_while_first_mapper_maps).
Print Assumptions owner_counter_exact_while_first_mapper_maps_proved.

Check (owner_counter_false_shared_proved : owner_counter_false_shared).
Print Assumptions owner_counter_false_shared_proved.

Check (estimated_sharers_false_exclusive_proved : estimated_sharers_false_exclusive).
Print Assumptions estimated_sharers_false_exclusive_proved.

Check (estimated_sharers_false_shared_proved : estimated_sharers_false_shared).
Print Assumptions estimated_sharers_false_shared_proved.

Check (likely_shared_false_exclusive_proved : likely_shared_false_exclusive).
Print Assumptions likely_shared_false_exclusive_proved.

Check (likely_shared_false_shared_proved : likely_shared_false_shared).
Print Assumptions likely_shared_false_shared_proved.

Check (witnesses_collide_proved : witnesses_collide).
Print Assumptions witnesses_collide_proved.
