(** * What is proved

    What: every claim, and nothing else. A claim named [foo] here is proved as
    [foo_proved] in another file; Audit.v checks that each is, without axioms.
    For: a reviewer. It needs Definitions.v and no knowledge of the proofs.

    Throughout: [es] is a sequence of events, [mappings es = Some ids] says that no
    MM unmapped what it had not mapped, and that [ids] lists the MMs of the current
    mappings; [x] is the MM that asks; [2^w] is a word's modulus; [o] is the order. *)

From Coq Require Import ZArith List Bool.
From Rmaplab Require Import Definitions Witnesses.
Import ListNotations.
Open Scope Z_scope.

(** IDs of [b] bits: 0 is the dummy. *)
Definition is_id (b id : Z) : Prop := 1 <= id < 2^b.

(** [digits] bits, 0 allowed: what one value reads of an ID. *)
Definition is_chunk (digits : nat) (c : Z) : Prop := 0 <= c < 2 ^ Z.of_nat digits.

(** A verdict that is never wrong; [beyond] is when it may say "do not know". *)
Definition honest (v : verdict) (truth beyond : Prop) : Prop :=
  match v with EXCLUSIVE => truth | SHARED => ~ truth | UNKNOWN => beyond end.

(** [always Q ids es]: [Q] holds of the mappings now and after every event of [es]. *)
Fixpoint always (Q : list Z -> Prop) (ids : list Z) (es : list event) : Prop :=
  Q ids /\
  match es with
  | [] => True
  | e :: rest => match step ids e with Some ids => always Q ids rest | None => True end
  end.

(** ** Bookkeeping *)

(** The truth is what it should be: events add up, per MM and in total. *)
Definition truth_counts : Prop := forall es ids m,
  mappings es = Some ids ->
  count m ids = fold_right (fun e rest => (if mm e =? m then nr e else 0) + rest) 0 es.

(** And it refuses just the unmapping of what is not mapped (and the empty event). *)
Definition truth_refuses : Prop := forall ids e,
  step ids e = None <-> nr e = 0 \/ count (mm e) ids < - nr e.

(** The state of a linear scheme is the sum over the current mappings, modulo the
    word size, whatever wrapped in between. *)
Definition bookkeeping : Prop := forall modulus addends es ids,
  0 < modulus -> mappings es = Some ids ->
  run modulus addends es = map (fun addend => sum addend ids mod modulus) addends.

(** ** IDs that come again *)

(** No two MMs that map the folio have one ID. *)
Definition no_two_holders (id : Z -> Z) (mms : list Z) : Prop :=
  forall p q, In p mms -> In q mms -> id p = id q -> p = q.

(** Then what a scheme sees is what there is, at every moment, and so all other claims, which
    are about IDs, hold of MMs. IDs may come again as often as they like in between. *)
Definition id_reuse_safe : Prop := forall id es mms,
  always (no_two_holders id) [] es -> mappings es = Some mms ->
  mappings (map (rename id) es) = Some (map id mms) /\
  (exclusive (map id mms) <-> exclusive mms) /\
  forall x, no_two_holders id (x :: mms) -> (exclusive_to (id x) (map id mms) <-> exclusive_to x mms).

(** Two MMs with one ID: some run has both on the folio, and its IDs say one. *)
Definition id_reuse_needs_it : Prop := forall id p q, p <> q -> id p = id q ->
  exists es mms, mappings es = Some mms /\ ~ exclusive mms /\
  mappings (map (rename id) es) = Some (map id mms) /\ exclusive_to (id p) (map id mms).

(** ** generations *)

(** One value: from [digits] binary digits with these weights, equality modulo
    [modulus] decides for up to [P] mappings. *)
Definition sound (weights : list Z) (P modulus : Z) : Prop := forall ids x,
  Forall (is_chunk (length weights)) (x :: ids) -> size ids <= P ->
  (same modulus (sum (read_binary weights) ids) (size ids * read_binary weights x) = true
   <-> exclusive_to x ids).

Fixpoint dot (d weights : list Z) : Z :=
  match d, weights with
  | p :: d, q :: weights => p * q + dot d weights
  | _, _ => 0
  end.

(** A nonzero vector of digits up to [P] that vanishes. *)
Definition short_relation (weights : list Z) (P modulus : Z) (d : list Z) : Prop :=
  length d = length weights /\ Forall (fun p => Z.abs p <= P) d /\
  Exists (fun p => p <> 0) d /\ dot d weights mod modulus = 0.

(** The posted construction works if the word holds all digits. *)
Definition generations_sound : Prop := forall base digits P modulus,
  0 <= P < base -> base ^ Z.of_nat digits <= modulus -> sound (powers base digits) P modulus.

(** Exactly what is needed of a modulus, for any weights: no short relation. *)
Definition sound_iff_no_short_relation : Prop := forall weights P modulus,
  0 <= P -> 0 < modulus ->
  (sound weights P modulus <-> ~ exists d, short_relation weights P modulus d).

(** The room is needed: no weights at all do with less. *)
Definition room_is_needed : Prop := forall weights P modulus,
  0 <= P -> 0 < modulus -> modulus < (P + 1) ^ Z.of_nat (length weights) ->
  exists d, short_relation weights P modulus d.

(** So base P+1 is best possible, and its bound is exact. *)
Definition generations_exactly : Prop := forall digits P modulus,
  0 <= P -> 0 < modulus ->
  (sound (powers (P + 1) digits) P modulus <-> (P + 1) ^ Z.of_nat digits <= modulus).

(** For a larger base, or a smaller modulus, [decide] tells. *)
Definition decide_correct : Prop := forall base digits P modulus,
  0 <= P < base -> 0 < modulus ->
  (decide base digits P modulus = true <-> sound (powers base digits) P modulus).

(** Several values are sound together iff each is. *)
Definition several_sound (base : Z) (B K : nat) (P modulus : Z) : Prop := forall ids x,
  Forall (is_chunk (K * B)) (x :: ids) -> size ids <= P ->
  (all_same modulus (size ids) (map (fun a => sum a ids) (subids base B K)) (subids base B K) x = true
   <-> exclusive_to x ids).

Definition several_iff_one : Prop := forall base B K P modulus,
  0 < modulus -> (0 < K)%nat ->
  (several_sound base B K P modulus <-> sound (powers base B) P modulus).

(** The scheme from its events: right for [n <= P], never a false exclusive. *)
Definition generations_right (w o base : Z) (B K : nat) : Prop := forall es ids x,
  mappings es = Some ids -> size ids < 2^w -> Forall (is_chunk (K * B)) (x :: ids) ->
  let v := generations_verdict (2^w) base B K (2^o) (run (2^w) (generations_addends base B K) es) x in
  v <> UNKNOWN /\ (v = EXCLUSIVE -> exclusive_to x ids) /\
  (size ids <= 2^o -> exclusive_to x ids -> v = EXCLUSIVE).

Definition generations_scheme : Prop := forall w o base B K,
  0 <= w -> 2^o < base -> base ^ Z.of_nat B <= 2^w -> generations_right w o base B K.

(** The safe table is sound for every order, ID width and word size. *)
Definition generations_safe : Prop := forall w o b es ids x,
  0 <= o < w -> 0 < b -> mappings es = Some ids -> size ids < 2^w -> Forall (is_id b) (x :: ids) ->
  let v := safe_verdict w o b (run (2^w) (safe_addends w o b) es) x in
  v <> UNKNOWN /\ (v = EXCLUSIVE -> exclusive_to x ids) /\
  (size ids <= 2^o -> exclusive_to x ids -> v = EXCLUSIVE).

(** The posted table: sound but for orders 7 to 9, where 70 mappings by others look
    like 70 of the caller's own; fewer never do. (Order 6 is sound by [decide]; its
    word is too short for [generations_scheme].) *)
Definition posted_sound : Prop := forall o, 2 <= o <= 6 \/ 10 <= o <= 15 ->
  let '(K, B, base) := posted o in generations_right 64 o base B K.

Definition posted_refuted : Prop := forall o, 7 <= o <= 9 ->
  exists es ids x,
    mappings es = Some ids /\ Forall (is_id 24) (x :: ids) /\ size ids = 70 /\
    posted_verdict o (posted_run o es) x = EXCLUSIVE /\ ~ exclusive_to x ids.

Definition posted_seventy_is_least : Prop := sound (powers (2^9 + 1) 8) 69 (2^64).

(** One digit less is sound there: the capacity of that row. *)
Definition posted_seven_digits_sound : Prop := sound (powers (2^9 + 1) 7) (2^9) (2^64).

(** The first version of the series: 4 values of 6 bits for all orders up to 10. *)
Definition four_values_sound : Prop := forall o, 1 <= o <= 10 ->
  generations_right 64 o (2^10 + 1) 6 4.

(** ** bits: no bound on [n] but the word *)

Definition bits_sound : Prop := forall w b es ids x,
  0 <= w -> mappings es = Some ids -> size ids < 2^w -> Forall (is_chunk b) (x :: ids) ->
  honest (bits_verdict (2^w) b (run (2^w) (bits_addends b) es) x) (exclusive_to x ids) False.

(** ** moments *)

(** Over the integers: a sum of squares, no bound at all, for any IDs. *)
Definition moments_identity : Prop := forall ids x,
  spread (size ids) (sum (fun id => id) ids) (sum square ids) x = sum (fun id => square (id - x)) ids.

Definition moments_integers : Prop := forall ids x,
  spread (size ids) (sum (fun id => id) ids) (sum square ids) x = 0 <-> exclusive_to x ids.

(** Modulo anything above [n * D^2], [D] the largest distance to the caller. *)
Definition moments_modulo : Prop := forall modulus D ids x,
  Forall (fun id => Z.abs (id - x) <= D) ids -> size ids * (D * D) < modulus ->
  (same modulus (spread (size ids) (sum (fun id => id) ids) (sum square ids) x) 0 = true
   <-> exclusive_to x ids).

(** The scheme from its events. *)
Definition moments_sound : Prop := forall w b es ids x,
  0 <= w -> mappings es = Some ids -> size ids < 2^w -> Forall (is_id b) (x :: ids) ->
  honest (moments_verdict w b (run (2^w) moments_addends es) x)
         (exclusive_to x ids) (moments_limit w b < size ids).

(** With the ID bits the code uses, [n <= P] is always in range. *)
Definition moments_room : Prop := forall w o,
  0 < moments_bits w o -> 2^o <= moments_limit w (moments_bits w o).

(** One owner, whoever it is; and then its name. *)
Definition owner_sound : Prop := forall ids,
  (size ids * sum square ids = square (sum (fun id => id) ids) <-> exclusive ids) /\
  (forall x, ids <> [] -> exclusive_to x ids -> sum (fun id => id) ids / size ids = x).

(** ** one-value: any layout that meets its inequality; the layout the code picks
    meets it, and none that meets it holds more ID bits. *)

Definition one_value_sound : Prop := forall w o a c es ids x,
  0 <= w -> 0 <= o -> 0 <= a -> 0 <= c -> one_value_fits w o a c = true ->
  mappings es = Some ids -> size ids < 2^w -> Forall (is_id (a + c)) (x :: ids) ->
  honest (one_value_verdict w o a c (run (2^w) (one_value_addends o a c) es) x)
         (exclusive_to x ids) (2^o < size ids).

Definition one_value_layout : Prop := forall w o,
  0 <= o ->
  let t := one_value_bits w o in
  (0 < t -> one_value_fits w o (t - t / 2) (t / 2) = true) /\
  (forall a c, 0 <= c <= a -> a + c <= 24 -> one_value_fits w o a c = true -> a + c <= t).

(** ** packed *)

(** The fields of the low word do not disturb each other at a final state with
    [n < 2^(f - 1)], whatever the states in between were; the bit between them is clear. *)
Definition packed_fields : Prop := forall w f es ids,
  1 <= f <= w -> mappings es = Some ids -> size ids < 2^(f - 1) ->
  run (2^w) (packed_addends f) es =
    [size ids + 2^f * (sum (fun id => id) ids mod 2^(w - f)); sum square ids mod 2^w].

Definition packed_sound : Prop := forall w f b es ids x,
  1 <= f <= w -> mappings es = Some ids -> size ids < 2^(f - 1) -> Forall (is_id b) (x :: ids) ->
  honest (packed_verdict w f b (run (2^w) (packed_addends f) es) x)
         (exclusive_to x ids) (packed_limit w f b < size ids).

(** A verdict on a word that a COW decision holds is the verdict on the word. *)
Definition packed_frozen : Prop := forall w f b lo q x,
  1 <= f -> lo mod 2^f < 2^(f - 1) ->
  packed_verdict w f b [lo + 2^(f - 1); q] x = packed_verdict w f b [lo; q] x.

Definition packed_room : Prop := forall w f o,
  0 < packed_bits w f o -> 2^o <= packed_limit w f (packed_bits w f o).

(** ** mm-id *)

Definition at_most_two (ids : list Z) : Prop := exists p q, forall y, In y ids -> y = p \/ y = q.

Definition real_mms (es : list event) : Prop := Forall (fun e => 1 <= mm e) es.

Definition mm_id_never_false_exclusive : Prop := forall es ids,
  real_mms es -> mappings es = Some ids ->
  mm_id_verdict (mm_id_run es) = EXCLUSIVE -> exclusive ids.

(** [before] is any past that ends with the folio unmapped. *)
Definition mm_id_exact_for_two : Prop := forall before es ids,
  real_mms (before ++ es) -> mappings before = Some [] -> always at_most_two [] es ->
  mappings (before ++ es) = Some ids ->
  (mm_id_verdict (mm_id_run (before ++ es)) = EXCLUSIVE <-> exclusive ids).

Definition mm_id_false_shared : Prop := exists es ids,
  real_mms es /\ mappings es = Some ids /\
  mm_id_verdict (mm_id_run es) = SHARED /\ exclusive ids.

(** ** moments-flag: [N] mappings at most, at any time; their IDs do not fill the sum's word *)

Definition moments_flag_premise (ws wq b N : Z) (es : list event) : Prop :=
  0 <= ws /\ 0 <= wq /\ 0 < b /\ N * (2^b - 1) < 2^ws /\
  Forall (fun e => is_id b (mm e)) es /\ always (fun ids => size ids <= N) [] es.

(** Whatever wrapped, however far beyond the bound: a clear flag is right. *)
Definition moments_flag_never_false_exclusive : Prop := forall ws wq b N es ids,
  moments_flag_premise ws wq b N es -> mappings es = Some ids ->
  moments_flag_verdict (moments_flag_run ws wq (moments_flag_bound wq b) es) = EXCLUSIVE -> exclusive ids.

(** Within the bound now, wherever it was before: the flag is exact. *)
Definition moments_flag_exact : Prop := forall ws wq b N es ids,
  moments_flag_premise ws wq b N es -> mappings es = Some ids ->
  sum (fun id => id) ids <= moments_flag_bound wq b ->
  (moments_flag_verdict (moments_flag_run ws wq (moments_flag_bound wq b) es) = EXCLUSIVE <-> exclusive ids).

(** So up to a mapcount, whoever maps: 2^20 for 22-bit IDs and 64-bit squares. *)
Definition moments_flag_exact_mapcount : Prop := forall ws wq b N es ids,
  moments_flag_premise ws wq b N es -> mappings es = Some ids ->
  size ids * (2^b - 1) <= moments_flag_bound wq b ->
  (moments_flag_verdict (moments_flag_run ws wq (moments_flag_bound wq b) es) = EXCLUSIVE <-> exclusive ids).

(** ** owner-counter *)

Definition owner_counter_never_false_exclusive : Prop := forall es ids x,
  real_mms es -> mappings es = Some ids ->
  owner_counter_verdict (owner_counter_run es) x = EXCLUSIVE -> exclusive_to x ids.

(** Right for every caller while the first mapper [m] since the folio was last
    unmapped is among the mappers. *)
Definition owner_counter_exact_while_first_mapper_maps : Prop := forall before m p k en es ids x,
  let since := Ev m p k en :: es in
  real_mms (before ++ since) -> mappings before = Some [] ->
  always (fun ids => ids <> []) (repeat m (Z.to_nat k)) es ->
  mappings (before ++ since) = Some ids -> In m ids ->
  (owner_counter_verdict (owner_counter_run (before ++ since)) x = EXCLUSIVE <-> exclusive_to x ids).

Definition owner_counter_false_shared : Prop := exists es ids x,
  real_mms es /\ mappings es = Some ids /\
  owner_counter_verdict (owner_counter_run es) x = SHARED /\ ids <> [] /\ exclusive_to x ids.

(** ** The heuristics: a sequence for each error, at every order from 1 *)

Definition inside (o : Z) (es : list event) : Prop :=
  Forall (fun e => 1 <= mm e /\ 0 <= page e /\ page e + Z.abs (nr e) <= 2^o) es.

Definition wrong (o : Z) (answer : first_page -> verdict) (v : verdict) : Prop := exists es ids,
  inside o es /\ mappings es = Some ids /\ answer (first_page_run es) = v /\
  match v with EXCLUSIVE => ~ exclusive ids | _ => exclusive ids end.

Definition estimated_sharers_false_exclusive : Prop := forall o, 1 <= o ->
  wrong o estimated_sharers_verdict EXCLUSIVE.

Definition estimated_sharers_false_shared : Prop := forall o, 1 <= o ->
  wrong o estimated_sharers_verdict SHARED.

Definition likely_shared_false_exclusive : Prop := forall o, 1 <= o ->
  wrong o (likely_shared_verdict (2^o)) EXCLUSIVE.

Definition likely_shared_false_shared : Prop := forall o, 1 <= o ->
  wrong o (likely_shared_verdict (2^o)) SHARED.

(** ** How many IDs one value can hold: any words at all *)

(** [words], one for each ID: equality modulo [modulus] decides for up to [P] mappings. *)
Definition answers (words : list Z) (P modulus : Z) : Prop := forall ids x,
  Forall (fun w => In w words) (x :: ids) -> size ids <= P ->
  (same modulus (sum (fun w => w) ids) (size ids * x) = true <-> exclusive_to x ids).

Definition density_bound : Prop := forall words P modulus,
  0 < modulus -> 1 <= P -> NoDup words -> answers words P modulus ->
  P * (Z.of_nat (length words) - 1) <= modulus - 1.

(** Of any words, at most two are in an interval of [P + 1] numbers. *)
Definition three_words_are_wide_apart : Prop := forall words P modulus a b c,
  0 < modulus -> answers words P modulus -> In a words -> In b words -> In c words -> a < b < c -> P < c - a.

(** Where no sum of up to [P] differences wraps it is about 2 / (P + 1) of that. *)
Definition density_bound_without_wrap : Prop := forall words P modulus,
  0 < modulus -> 1 <= P -> NoDup words -> (forall v w, In v words -> In w words -> P * (w - v) < modulus) ->
  answers words P modulus -> P * (P + 1) * (Z.of_nat (length words) - 2) <= 2 * (modulus - 1).

(** ** Witnesses: the configurations the refuter rejects (Witnesses.v) *)

Definition collision (t : witness) : Prop :=
  Forall (is_id (id_bits t)) (asked t :: witness_ids t) /\
  size (witness_ids t) <= 2 ^ order t /\
  equation (scheme t) (word_bits t) (order t) (witness_ids t) (asked t) = true /\
  ~ exclusive_to (asked t) (witness_ids t).

Definition witnesses_collide : Prop := Forall collision witnesses.
