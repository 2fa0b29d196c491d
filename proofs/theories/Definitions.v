(** * The schemes, as executable definitions

    What: docs/schemes.md, transcribed. Every function here computes, so that
    tests can compare it with [rmaplab.schemes] value by value.
    For: the reader of Statements.v, who needs nothing else.
    Not: proofs (the other files), concurrency (an event is atomic here). *)

From Coq Require Import ZArith List Bool.
Import ListNotations.
Open Scope Z_scope.

(** ** Events and the truth *)

(** One rmap update: [nr > 0] maps, [nr < 0] unmaps [|nr|] pages from [page] on
    ([entire]: [|nr|] PMD mappings) in the address space [mm]. *)
Record event := Ev { mm : Z; page : Z; nr : Z; entire : bool }.

(** The truth is the multiset of current mappings: a list with one MM for each
    mapping. [None]: an MM unmapped what it had not mapped, or [nr = 0]. *)
Fixpoint remove_one (m : Z) (ids : list Z) : option (list Z) :=
  match ids with
  | [] => None
  | y :: rest => if y =? m then Some rest else option_map (cons y) (remove_one m rest)
  end.

Fixpoint remove_many (k : nat) (m : Z) (ids : list Z) : option (list Z) :=
  match k with
  | O => Some ids
  | S k => match remove_one m ids with Some rest => remove_many k m rest | None => None end
  end.

Definition step (ids : list Z) (e : event) : option (list Z) :=
  if 0 <? nr e then Some (repeat (mm e) (Z.to_nat (nr e)) ++ ids)
  else if nr e <? 0 then remove_many (Z.to_nat (- nr e)) (mm e) ids
  else None.

Fixpoint mappings_from (ids : list Z) (es : list event) : option (list Z) :=
  match es with
  | [] => Some ids
  | e :: rest => match step ids e with Some ids => mappings_from ids rest | None => None end
  end.

Definition mappings (es : list event) : option (list Z) := mappings_from [] es.

(** The number of mappings, and the number that belong to one MM. *)
Definition size (ids : list Z) : Z := Z.of_nat (length ids).
Definition count (m : Z) (ids : list Z) : Z := Z.of_nat (count_occ Z.eq_dec ids m).

(** The two questions. *)
Definition exclusive_to (x : Z) (ids : list Z) : Prop := forall y, In y ids -> y = x.
Definition exclusive (ids : list Z) : Prop := exists x, exclusive_to x ids.

Inductive verdict := EXCLUSIVE | SHARED | UNKNOWN.

(** MMs come and go, and their IDs come again: [id] gives each MM's. A scheme sees only
    the renamed events. *)
Definition rename (id : Z -> Z) (e : event) : event := Ev (id (mm e)) (page e) (nr e) (entire e).

(** ** Linear schemes *)

(** A scheme is a list of words; each adds a function of the MM per mapping.
    Arithmetic wraps at every step, as a machine word does. *)
Definition run_word (modulus : Z) (addend : Z -> Z) (es : list event) : Z :=
  fold_left (fun word e => (word + nr e * addend (mm e)) mod modulus) es 0.

Definition run (modulus : Z) (addends : list (Z -> Z)) (es : list event) : list Z :=
  map (fun addend => run_word modulus addend es) addends.

Definition sum (addend : Z -> Z) (ids : list Z) : Z :=
  fold_right (fun id rest => addend id + rest) 0 ids.

(** Equal modulo: the comparison of two machine words. *)
Definition same (modulus p q : Z) : bool := p mod modulus =? q mod modulus.

(** The largest [i] in [1 .. fuel] that passes, else 0. *)
Fixpoint largest (passes : Z -> bool) (fuel : nat) : Z :=
  match fuel with
  | O => 0
  | S rest => if passes (Z.of_nat fuel) then Z.of_nat fuel else largest passes rest
  end.

(** *** generations: binary digits read with other weights *)

Fixpoint read_binary (weights : list Z) (c : Z) : Z :=
  match weights with
  | [] => 0
  | w :: rest => (if Z.odd c then w else 0) + read_binary rest (Z.div2 c)
  end.

Fixpoint powers (base : Z) (digits : nat) : list Z :=
  match digits with
  | O => []
  | S rest => 1 :: map (Z.mul base) (powers base rest)
  end.

(** Value [k] of an ID: its chunk [k] of [B] bits, read in [base]. *)
Definition subid (base : Z) (B k : nat) (id : Z) : Z :=
  read_binary (powers base B) (Z.shiftr id (Z.of_nat (k * B))).

Definition subids (base : Z) (B K : nat) : list (Z -> Z) := map (subid base B) (seq 0 K).

Definition generations_addends (base : Z) (B K : nat) : list (Z -> Z) :=
  (fun _ => 1) :: subids base B K.

(** Do the words [values] equal [n] times the caller's own addends? *)
Fixpoint all_same (modulus n : Z) (values : list Z) (addends : list (Z -> Z)) (x : Z) : bool :=
  match values, addends with
  | [], [] => true
  | v :: values, a :: addends => same modulus v (n * a x) && all_same modulus n values addends x
  | _, _ => false
  end.

Definition generations_verdict (modulus base : Z) (B K : nat) (P : Z) (state : list Z) (x : Z) : verdict :=
  match state with
  | n :: values =>
      if (n <=? P) && all_same modulus n values (subids base B K) x then EXCLUSIVE else SHARED
  | [] => UNKNOWN
  end.

(** Is [v] a sum of [digits] digits, each at most [P] in size, times powers of
    [base]? Only two digits up to [P < base] can leave the right remainder. *)
Fixpoint reaches (base P : Z) (digits : nat) (v : Z) : bool :=
  match digits with
  | O => v =? 0
  | S rest =>
      ((v mod base <=? P) && reaches base P rest (v / base))
      || ((base - v mod base <=? P) && reaches base P rest (v / base + 1))
  end.

(** Decides whether one value of [digits] binary digits in [base > P] is sound for
    [P] mappings: no positive multiple of the modulus is within reach. *)
Definition decide (base : Z) (digits : nat) (P modulus : Z) : bool :=
  let farthest := fold_right (fun power rest => P * power + rest) 0 (powers base digits) in
  forallb (fun k => negb (reaches base P digits (Z.of_nat k * modulus)))
          (seq 1 (Z.to_nat (farthest / modulus))).

(** The posted table: K values, B bits per value, base, for each order. *)
Definition posted (o : Z) : nat * nat * Z :=
  if o <=? 2 then (1%nat, 24%nat, 2^2 + 1)
  else if o <=? 5 then (2%nat, 12%nat, 2^5 + 1)
  else if o <=? 9 then (3%nat, 8%nat, 2^9 + 1)
  else if o <=? 10 then (4%nat, 6%nat, 2^10 + 1)
  else if o <=? 12 then (5%nat, 5%nat, 2^12 + 1)
  else (6%nat, 4%nat, 2^15 + 1).

Definition posted_run (o : Z) (es : list event) : list Z :=
  let '(K, B, base) := posted o in run (2^64) (generations_addends base B K) es.

Definition posted_verdict (o : Z) (state : list Z) (x : Z) : verdict :=
  let '(K, B, base) := posted o in generations_verdict (2^64) base B K (2^o) state x.

(** generations-safe, for order [o], [b]-bit IDs and [w]-bit words: the most
    digits that fit, then as few values as hold the ID, then even chunks. *)
Definition ceil_div (p q : Z) : Z := (p + q - 1) / q.
Definition safe_digits (w o : Z) : Z := largest (fun N => (2^o + 1) ^ N <=? 2^w) (Z.to_nat w).
Definition safe_values (w o b : Z) : Z := ceil_div b (safe_digits w o).
Definition safe_chunk (w o b : Z) : Z := ceil_div b (safe_values w o b).

Definition safe_addends (w o b : Z) : list (Z -> Z) :=
  generations_addends (2^o + 1) (Z.to_nat (safe_chunk w o b)) (Z.to_nat (safe_values w o b)).

Definition safe_verdict (w o b : Z) : list Z -> Z -> verdict :=
  generations_verdict (2^w) (2^o + 1) (Z.to_nat (safe_chunk w o b)) (Z.to_nat (safe_values w o b)) (2^o).

(** *** bits: one value for each ID bit *)

Definition bit (k : nat) (id : Z) : Z := Z.b2z (Z.testbit id (Z.of_nat k)).
Definition bit_values (b : nat) : list (Z -> Z) := map bit (seq 0 b).
Definition bits_addends (b : nat) : list (Z -> Z) := (fun _ => 1) :: bit_values b.

Definition bits_verdict (modulus : Z) (b : nat) (state : list Z) (x : Z) : verdict :=
  match state with
  | n :: values => if all_same modulus n values (bit_values b) x then EXCLUSIVE else SHARED
  | [] => UNKNOWN
  end.

(** *** moments: the sum of the IDs, and of their squares *)

Definition square (id : Z) : Z := id * id.
Definition moments_addends : list (Z -> Z) := [fun _ => 1; fun id => id; square].

(** With [s] the sum of the IDs and [q] that of their squares, [spread n s q x] is
    the sum of [(id - x)^2] over the mappings: a theorem. *)
Definition spread (n s q x : Z) : Z := q - 2 * x * s + n * (x * x).

(** [D], the largest difference of two IDs of [b] bits (0 is no ID), but not 0. *)
Definition gap (b : Z) : Z := Z.max (2^b - 2) 1.
Definition moments_limit (w b : Z) : Z := (2^w - 1) / (gap b * gap b).

(** ID bits used at order [o], at most 24: every page mapped once stays in range. *)
Definition moments_bits (w o : Z) : Z := largest (fun b => 2^o * (gap b * gap b) <? 2^w) 24.

Definition moments_verdict (w b : Z) (state : list Z) (x : Z) : verdict :=
  match state with
  | [n; s; q] =>
      if same (2^w) (spread n s q x) 0
      then if n <=? moments_limit w b then EXCLUSIVE else UNKNOWN
      else SHARED
  | _ => UNKNOWN
  end.

(** *** one-value: a paraboloid in one word *)

Definition one_value (o a c id : Z) : Z :=
  let x := id mod 2^a in
  let y := id / 2^a in
  x + y * 2^(o + a) + (x * x + y * y) * 2^(2 * o + a + c).

Definition one_value_addends (o a c : Z) : list (Z -> Z) := [fun _ => 1; one_value o a c].

(** The inequality of the layout. *)
Definition one_value_fits (w o a c : Z) : bool :=
  2^o * ((2^a - 1)^2 + (2^c - 1)^2) <? 2^(w - 2 * o - a - c).

(** ID bits used, at most 24; [a] is the larger half, [c] the smaller. *)
Definition one_value_bits (w o : Z) : Z :=
  largest (fun t => one_value_fits w o (t - t / 2) (t / 2)) 24.

Definition one_value_verdict (w o a c : Z) (state : list Z) (x : Z) : verdict :=
  match state with
  | [n; v] =>
      if same (2^w) v (n * one_value o a c x)
      then if n <=? 2^o then EXCLUSIVE else UNKNOWN
      else SHARED
  | _ => UNKNOWN
  end.

(** *** packed: mapcount and S share a word, Q has one. S begins at bit [f]; bit [f - 1] says that a COW decision holds
    the word, and the mapcount has the bits below. *)

Definition packed_addends (f : Z) : list (Z -> Z) := [fun id => 1 + id * 2^f; square].

Definition packed_limit (w f b : Z) : Z :=
  Z.min (Z.min ((2^w - 1) / (gap b * gap b)) ((2^(w - f) - 1) / gap b)) (2^(f - 1) - 1).

Definition packed_bits (w f o : Z) : Z := largest (fun b => 2^o <=? packed_limit w f b) 24.

Definition packed_verdict (w f b : Z) (state : list Z) (x : Z) : verdict :=
  match state with
  | [lo; q] =>
      let n := lo mod 2^(f - 1) in
      let s := lo / 2^f in
      if same (2^(w - f)) s (n * x) && same (2^w) q (n * (x * x))
      then if n <=? packed_limit w f b then EXCLUSIVE else UNKNOWN
      else SHARED
  | _ => UNKNOWN
  end.

(** ** mm-id: two slots and a flag *)

(** [owner = 0]: the slot is free. *)
Record slot := Slot { owner : Z; held : Z }.
Record mm_id := MmId { total : Z; slot0 : slot; slot1 : slot; maybe_shared : bool }.

Definition free_slot : slot := Slot 0 0.
Definition mm_id_start : mm_id := MmId 0 free_slot free_slot false.

Definition mm_id_map (k m : Z) (s : mm_id) : mm_id :=
  let n := total s + k in
  if owner (slot0 s) =? m then MmId n (Slot m (held (slot0 s) + k)) (slot1 s) (maybe_shared s)
  else if owner (slot1 s) =? m then MmId n (slot0 s) (Slot m (held (slot1 s) + k)) (maybe_shared s)
  else if owner (slot0 s) =? 0 then MmId n (Slot m k) (slot1 s) (maybe_shared s || negb (n =? k))
  else if owner (slot1 s) =? 0 then MmId n (slot0 s) (Slot m k) (maybe_shared s || negb (n =? k))
  else MmId n (slot0 s) (slot1 s) true.

Definition release (k m : Z) (sl : slot) : slot :=
  if owner sl =? m then (if held sl - k <=? 0 then free_slot else Slot m (held sl - k)) else sl.

Definition holds_all (n : Z) (sl : slot) : bool := negb (owner sl =? 0) && (held sl =? n).

Definition mm_id_unmap (k m : Z) (s : mm_id) : mm_id :=
  let n := total s - k in
  let s0 := release k m (slot0 s) in
  let s1 := release k m (slot1 s) in
  let clear := (n =? 0) || holds_all n s0 || holds_all n s1 in
  MmId n s0 s1 (maybe_shared s && negb clear).

Definition mm_id_step (s : mm_id) (e : event) : mm_id :=
  if 0 <? nr e then mm_id_map (nr e) (mm e) s else mm_id_unmap (- nr e) (mm e) s.

Definition mm_id_run (es : list event) : mm_id := fold_left mm_id_step es mm_id_start.

Definition mm_id_verdict (s : mm_id) : verdict := if maybe_shared s then SHARED else EXCLUSIVE.

(** ** moments-flag: two sums behind a flag. The words of the sums have [ws] and [wq] bits;
    beyond [bound] the sum of the squares may have wrapped, and a set flag stays. *)

Record moments_flag := MomentsFlag { mf_total : Z; mf_sum : Z; mf_squares : Z; mf_shared : bool }.

Definition moments_flag_start : moments_flag := MomentsFlag 0 0 0 false.

Definition moments_flag_bound (wq b : Z) : Z := (2^wq - 1) / (2^b - 1).

Definition moments_flag_alone (bound n s q : Z) : bool := (s <=? bound) && (n * q =? s * s).

Definition moments_flag_step (ws wq bound : Z) (s : moments_flag) (e : event) : moments_flag :=
  let n := mf_total s + nr e in
  let sum := (mf_sum s + nr e * mm e) mod 2^ws in
  let squares := (mf_squares s + nr e * square (mm e)) mod 2^wq in
  MomentsFlag n sum squares
    (if 0 <? nr e then mf_shared s || negb (same (2^ws) (mf_total s * mm e) (mf_sum s))
     else mf_shared s && negb (moments_flag_alone bound n sum squares)).

Definition moments_flag_run (ws wq bound : Z) (es : list event) : moments_flag :=
  fold_left (moments_flag_step ws wq bound) es moments_flag_start.

Definition moments_flag_verdict (s : moments_flag) : verdict := if mf_shared s then SHARED else EXCLUSIVE.

(** ** owner-counter: the first mapper, and the mappings of others *)

(** [first = 0]: nobody maps the folio. *)
Record owner_counter := OwnerCounter { oc_total : Z; first : Z; others : Z }.

Definition owner_counter_start : owner_counter := OwnerCounter 0 0 0.

Definition owner_counter_step (s : owner_counter) (e : event) : owner_counter :=
  let who := if oc_total s =? 0 then mm e else first s in
  let n := oc_total s + nr e in
  OwnerCounter n (if n =? 0 then 0 else who) (if who =? mm e then others s else others s + nr e).

Definition owner_counter_run (es : list event) : owner_counter :=
  fold_left owner_counter_step es owner_counter_start.

Definition owner_counter_verdict (s : owner_counter) (x : Z) : verdict :=
  if (oc_total s =? 0) || ((first s =? x) && (others s =? 0)) then EXCLUSIVE else SHARED.

(** ** The two heuristics that look at the first page *)

Record first_page := FirstPage { fp_total : Z; fp_entire : Z; fp_first : Z }.

Definition first_page_step (s : first_page) (e : event) : first_page :=
  FirstPage (fp_total s + nr e)
            (fp_entire s + (if entire e then nr e else 0))
            (fp_first s + (if negb (entire e) && (page e =? 0) then Z.sgn (nr e) else 0)).

Definition first_page_run (es : list event) : first_page :=
  fold_left first_page_step es (FirstPage 0 0 0).

Definition estimated_sharers_verdict (s : first_page) : verdict :=
  if fp_first s + fp_entire s <=? 1 then EXCLUSIVE else SHARED.

Definition likely_shared_verdict (P : Z) (s : first_page) : verdict :=
  if fp_total s <=? 1 then EXCLUSIVE
  else if (0 <? fp_entire s) || (P <? fp_total s) then SHARED
  else if 1 <? fp_first s then SHARED else EXCLUSIVE.

(** ** Configurations and witnesses, as the refuter reports them *)

Inductive linear :=
  | Generations (base : Z) (B K : nat)
  | Bits (b : nat)
  | Moments
  | OneValue (a c : Z)
  | Packed (f : Z)
  | Table (values : nat) (table : list (Z * list Z)).

(** A user's sub-IDs: a row for each ID, a column for each value. *)
Definition look_up (table : list (Z * list Z)) (k : nat) (id : Z) : Z :=
  match find (fun row => fst row =? id) table with
  | Some row => nth k (snd row) 0
  | None => 0
  end.

(** The equation a scheme checks for [n] mappings, without its bound on [n]. *)
Definition equation (s : linear) (w o : Z) (ids : list Z) (x : Z) : bool :=
  let n := size ids in
  let equal addends := all_same (2^w) n (map (fun a => sum a ids) addends) addends x in
  match s with
  | Generations base B K => equal (subids base B K)
  | Bits b => equal (bit_values b)
  | Moments => same (2^w) (spread n (sum (fun id => id) ids) (sum square ids) x) 0
  | OneValue a c => equal [one_value o a c]
  | Packed f => same (2^(w - f)) (sum (fun id => id) ids) (n * x) && equal [square]
  | Table values table => equal (map (look_up table) (seq 0 values))
  end.

Record witness := Witness {
  scheme : linear; order : Z; id_bits : Z; word_bits : Z;
  asked : Z;                   (* the MM the question is about *)
  mapped : list (Z * Z)        (* who maps how many pages *)
}.

Definition witness_ids (t : witness) : list Z :=
  flat_map (fun who => repeat (fst who) (Z.to_nat (snd who))) (mapped t).
