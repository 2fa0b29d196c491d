(** * Witnesses against the configurations the refuter rejects

    What: data only, one entry per refuted configuration; Statements.v says what
    must hold of each, Collisions.v checks all by computation.
    For: whoever adds a refutation: append an entry, then [make prove].
    An entry: scheme, order, ID bits, word bits, the MM asked about, and who maps
    how many pages. *)

From Coq Require Import ZArith List.
From Rmaplab Require Import Definitions.
Import ListNotations.
Open Scope Z_scope.

(** 2 * (513 - 1)^7 = 2^64, so the digits (-2, 14, -42, 70, -70, 42, -14, 2) vanish:
    70 mappings by four other MMs equal 70 of the caller's own. The posted table,
    orders 7 to 9. *)
Definition seventy : list (Z * Z) := [(43, 14); (77, 28); (105, 26); (232, 2)].

Definition posted_witnesses : list witness := [
  Witness (Generations 513 8 3) 7 24 64 85 seventy;
  Witness (Generations 513 8 3) 8 24 64 85 seventy;
  Witness (Generations 513 8 3) 9 24 64 85 seventy
].

(** generations-safe with one value less than it takes. *)
Definition too_few_values : list witness := [
  Witness (Generations 17 24 1) 4 24 64 729421 [(6811066, 2); (14420593, 1)];
  Witness (Generations 65 12 2) 6 24 64 661 [(301, 9); (1450, 1); (2980, 2); (3840, 3)];
  Witness (Generations 257 8 3) 8 24 64 256 [(386, 48); (426, 131); (427, 1); (442, 42); (510, 27)];
  Witness (Generations 1025 8 3) 10 24 64 85 [(15, 7); (77, 7); (105, 20); (232, 1)];
  Witness (Generations 4097 6 4) 12 24 64 21 [(11, 80); (25, 64); (56, 16)]
].

(** Our own schemes beyond their range: 24-bit IDs at order 17, 22-bit IDs in one
    value at order 9. *)
Definition out_of_range : list witness := [
  Witness Moments 17 24 64 1 [(2656233, 1); (16697863, 1); (16777179, 1); (16777215, 65534)];
  Witness (Packed 24) 17 24 64 23
    [(1581933, 1); (16768315, 1); (16777165, 1); (16777171, 2); (16777214, 8); (16777215, 65524)];
  Witness (OneValue 11 11) 9 22 64 2098176
    [(2049, 3); (1415176, 1); (2097193, 1); (2099159, 1); (2781176, 1); (4194303, 3)]
].

Definition witnesses : list witness := posted_witnesses ++ too_few_values ++ out_of_range.
