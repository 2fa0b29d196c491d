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
    70 mappings by others equal 70 of the caller's own. *)
Definition seventy : list (Z * Z) :=
  [(239, 2); (111, 12); (109, 14); (105, 14); (73, 14); (9, 12); (8, 2)].

Definition witnesses : list witness := [
  Witness (Generations 513 8 3) 7 24 64 85 seventy;
  Witness (Generations 513 8 3) 8 24 64 85 seventy;
  Witness (Generations 513 8 3) 9 24 64 85 seventy
].
