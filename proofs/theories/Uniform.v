(** * Partly mapped?

    What: a sum of per-page weights beside the mapcount, as a test whether every page is mapped equally often; and that no weights
    make it exact.
    For: a reviewer; docs/proofs.md, "Partly mapped?".
    Not: a scheme of Definitions.v: it answers another question. *)

From Coq Require Import ZArith List Bool.
From Rmaplab Require Import Definitions Statements.
Import ListNotations.
Open Scope Z_scope.

(** [counts]: how often each page is mapped. The word adds the page's weight per mapping; [weights] has one for each page. *)
Definition weighed (modulus : Z) (weights counts : list Z) : Z := dot counts weights mod modulus.

Definition total_of (counts : list Z) : Z := fold_right Z.add 0 counts.

(** P * U = n * W: what n / P mappings of every page would weigh. *)
Definition seems_uniform (modulus : Z) (weights counts : list Z) : bool :=
  same modulus (Z.of_nat (length weights) * weighed modulus weights counts) (total_of counts * total_of weights).

Definition uniform (counts : list Z) : Prop := exists c, Forall (fun d => d = c) counts.

(** Pages mapped equally often always pass. *)
Definition uniform_passes : Prop := forall modulus weights counts, 0 < modulus ->
  length counts = length weights -> uniform counts -> seems_uniform modulus weights counts = true.

(** Whatever the weights: once the pages are more than the word's bits and a few, some folio with as many mappings as pages, and
    a page that nobody maps, passes too. *)
Definition uniform_errs : Prop := forall modulus weights,
  0 < modulus -> modulus * (Z.of_nat (length weights) + 1) < 2 ^ Z.of_nat (length weights) ->
  exists counts, length counts = length weights /\ Forall (fun c => 0 <= c <= 2) counts /\
    total_of counts = Z.of_nat (length weights) /\ In 0 counts /\ seems_uniform modulus weights counts = true.

(** So with 64-bit words from order 7 on. *)
Definition uniform_errs_at_64 : Prop := forall o weights, 7 <= o <= 21 -> Z.of_nat (length weights) = 2^o ->
  exists counts, length counts = length weights /\ Forall (fun c => 0 <= c <= 2) counts /\
    total_of counts = 2^o /\ In 0 counts /\ seems_uniform (2^64) weights counts = true.

(** But few weights pass what is not uniform. Two weights of one page, the others as they are, that both pass: their difference
    times P * c - n is a multiple of the modulus, c the page's count. So at most gcd(P * c - n, modulus) of a page's modulus
    weights pass. *)
Definition uniform_rarely_passes : Prop := forall modulus before after w w' low high c, 0 < modulus ->
  length low = length before -> length high = length after ->
  seems_uniform modulus (before ++ w :: after) (low ++ c :: high) = true ->
  seems_uniform modulus (before ++ w' :: after) (low ++ c :: high) = true ->
  (modulus | (w - w') * (Z.of_nat (length (before ++ w :: after)) * c - total_of (low ++ c :: high))).
