(** * generations: binary digits with weights

    What: what a word must hold for sub-IDs to decide, for any weights; base P+1.
    Idea: n mappings against n times the caller differ, digit by digit, by a vector
    of at most n per entry. The value sees only that vector's weighted sum. So the
    question is which short vectors vanish, and counting says when some must. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements Bookkeeping.
Import ListNotations.
Open Scope Z_scope.

(** ** The digit differences of a set of mappings against the caller *)

Definition odd (c : Z) : Z := if Z.odd c then 1 else 0.

Fixpoint differences (digits : nat) (ids : list Z) (x : Z) : list Z :=
  match digits with
  | O => []
  | S rest => sum odd ids - size ids * odd x :: differences rest (map Z.div2 ids) (Z.div2 x)
  end.

Lemma differences_length digits : forall ids x, length (differences digits ids x) = digits.
Proof. induction digits; cbn; auto. Qed.

Lemma size_map f ids : size (map f ids) = size ids.
Proof. unfold size. now rewrite map_length. Qed.

Lemma sum_map f g ids : sum f (map g ids) = sum (fun y => f (g y)) ids.
Proof. induction ids as [|y ids IH]; [easy|]. cbn [map]. now rewrite !sum_cons, IH. Qed.

(** The value's error is the weighted sum of the differences. *)
Lemma differences_dot weights : forall ids x,
  sum (read_binary weights) ids - size ids * read_binary weights x =
  dot (differences (length weights) ids x) weights.
Proof.
  induction weights as [|w weights IH]; intros ids x.
  - cbn [read_binary dot length differences]. rewrite (sum_ext _ (fun _ => 0 * 0)) by easy.
    rewrite sum_scale. lia.
  - cbn [length differences dot]. rewrite <- IH, size_map, sum_map. cbn [read_binary].
    rewrite (sum_ext _ (fun y => w * odd y + read_binary weights (Z.div2 y))).
    + rewrite sum_add, sum_scale. change (odd x) with (if Z.odd x then 1 else 0).
      destruct (Z.odd x); lia.
    + intros y _. cbn [read_binary]. unfold odd. destruct (Z.odd y); lia.
Qed.

Lemma odd_sum_bounds ids : 0 <= sum odd ids <= size ids.
Proof.
  pose proof (sum_bounds odd 0 1 ids) as bd.
  assert (h : forall y, In y ids -> 0 <= odd y <= 1) by (intros y _; unfold odd; destruct (Z.odd y); lia).
  specialize (bd h). lia.
Qed.

Lemma differences_short digits P : forall ids x, size ids <= P ->
  Forall (fun p => Z.abs p <= P) (differences digits ids x).
Proof.
  induction digits as [|digits IH]; intros ids x small; cbn; constructor.
  - pose proof (odd_sum_bounds ids). change (odd x) with (if Z.odd x then 1 else 0).
    destruct (Z.odd x); lia.
  - apply IH. now rewrite size_map.
Qed.

Lemma is_chunk_div2 digits c : is_chunk (S digits) c -> is_chunk digits (Z.div2 c).
Proof.
  unfold is_chunk. rewrite Nat2Z.inj_succ, Z.pow_succ_r by lia. intros hc.
  pose proof (Z.div2_odd c). destruct (Z.odd c); cbn [Z.b2z] in *; lia.
Qed.

Lemma odd_all x ids : sum odd ids = size ids * odd x -> forall y, In y ids -> odd y = odd x.
Proof.
  assert (range : forall y, odd y = 0 \/ odd y = 1) by (intros y; unfold odd; destruct (Z.odd y); auto).
  induction ids as [|y ids IH]; [easy|]. rewrite sum_cons, size_cons. intros eq z hz.
  pose proof (odd_sum_bounds ids). pose proof (size_nonneg ids).
  assert (here : odd y = odd x) by (destruct (range y), (range x) as [hx|hx]; rewrite hx in *; lia).
  destruct hz as [<-|hz]; [exact here|]. apply IH; [lia|exact hz].
Qed.

Lemma div2_odd c : c = 2 * Z.div2 c + odd c.
Proof. pose proof (Z.div2_odd c). unfold odd. destruct (Z.odd c); cbn [Z.b2z] in *; lia. Qed.

(** No difference in any digit: all mappings are the caller's. *)
Lemma differences_zero digits : forall ids x,
  Forall (is_chunk digits) (x :: ids) ->
  Forall (fun p => p = 0) (differences digits ids x) <-> exclusive_to x ids.
Proof.
  induction digits as [|digits IH]; intros ids x all; split.
  - intros _ y hy. rewrite Forall_forall in all.
    pose proof (all x (or_introl eq_refl)). pose proof (all y (or_intror hy)).
    unfold is_chunk in *. cbn in *. lia.
  - constructor.
  - intros zero. inversion zero as [|? ? h0 hs]; subst.
    apply IH in hs.
    + assert (h0' : sum odd ids = size ids * odd x) by lia.
      intros y hy. pose proof (odd_all x ids h0' y hy) as eo.
      assert (ed : Z.div2 y = Z.div2 x) by (apply hs, in_map, hy).
      rewrite (div2_odd y), (div2_odd x). lia.
    + change (Forall (is_chunk digits) (map Z.div2 (x :: ids))). apply Forall_map.
      eapply Forall_impl; [|exact all]. intros c. apply is_chunk_div2.
  - intros ex. cbn. constructor.
    + rewrite (sum_exclusive odd x ids ex). lia.
    + apply IH.
      * change (Forall (is_chunk digits) (map Z.div2 (x :: ids))). apply Forall_map.
        eapply Forall_impl; [|exact all]. intros c. apply is_chunk_div2.
      * intros y hy. apply in_map_iff in hy as (z & <- & hz). now rewrite (ex z hz).
Qed.

Lemma zero_or_not d : Forall (fun p => p = 0) d \/ Exists (fun p => p <> 0) d.
Proof.
  induction d as [|p d [zero|non]]; [now left| |].
  - destruct (Z.eq_dec p 0); [left; now constructor|right; now constructor].
  - right. now constructor 2.
Qed.

Lemma zero_and_not d : Forall (fun p => p = 0) d -> Exists (fun p => p <> 0) d -> False.
Proof. rewrite Forall_forall, Exists_exists. intros zero (p & hp & ne). auto. Qed.

Lemma sound_of_no_relation weights P modulus : 0 < modulus ->
  (forall d, short_relation weights P modulus d -> False) -> sound weights P modulus.
Proof.
  intros pos none ids x all small. split.
  - intros eq. apply (differences_zero (length weights)); [easy|].
    destruct (zero_or_not (differences (length weights) ids x)) as [zero|non]; [easy|].
    exfalso. apply (none (differences (length weights) ids x)).
    split; [apply differences_length|]. split; [now apply differences_short|]. split; [easy|].
    rewrite <- differences_dot. now apply same_diff.
  - intros ex. rewrite (sum_exclusive _ x ids ex). apply same_refl.
Qed.

(** ** From a short relation to a collision *)

(** Asked about [caller d]; mapping [j] of [P] is [other P d j]. *)
Fixpoint caller (d : list Z) : Z :=
  match d with [] => 0 | p :: d => 2 * caller d + (if p <? 0 then 1 else 0) end.

Definition ones (P p : Z) : Z := if p <? 0 then P + p else p.

Fixpoint other (P : Z) (d : list Z) (j : Z) : Z :=
  match d with [] => 0 | p :: d => 2 * other P d j + (if j <? ones P p then 1 else 0) end.

Definition others (P : Z) (d : list Z) : list Z :=
  map (fun j => other P d (Z.of_nat j)) (seq 0 (Z.to_nat P)).

Lemma others_size P d : 0 <= P -> size (others P d) = P.
Proof. intros. unfold others, size. rewrite map_length, seq_length. lia. Qed.

Lemma odd_build c (t : bool) : odd (2 * c + (if t then 1 else 0)) = if t then 1 else 0.
Proof.
  unfold odd. rewrite Z.add_comm, Z.odd_add_mul_2. now destruct t.
Qed.

Lemma div2_build c (t : bool) : Z.div2 (2 * c + (if t then 1 else 0)) = c.
Proof. rewrite Z.div2_div. symmetry. apply (Z.div_unique_pos _ _ _ (if t then 1 else 0)); destruct t; lia. Qed.

Lemma build_chunk digits c (t : bool) : is_chunk digits c ->
  is_chunk (S digits) (2 * c + (if t then 1 else 0)).
Proof. unfold is_chunk. rewrite Nat2Z.inj_succ, Z.pow_succ_r by lia. destruct t; lia. Qed.

Lemma caller_chunk d : is_chunk (length d) (caller d).
Proof. induction d as [|p d IH]; [easy|]. cbn [caller length]. now apply build_chunk. Qed.

Lemma other_chunk P d j : is_chunk (length d) (other P d j).
Proof. induction d as [|p d IH]; [easy|]. cbn [other length]. now apply build_chunk. Qed.

(** Of [j = 0 .. n-1], [min t n] lie below [t]. *)
Lemma count_below t n : 0 <= t <= Z.of_nat n ->
  sum (fun y => y) (map (fun j => if Z.of_nat j <? t then 1 else 0) (seq 0 n)) = t.
Proof.
  revert t. induction n as [|n IH]; intros t ht; [cbn; lia|].
  rewrite seq_S, map_app, sum_app. cbn [map sum fold_right plus].
  destruct (Z.ltb_spec (Z.of_nat n) t) as [lt|ge].
  - assert (t = Z.of_nat n + 1) by lia. subst t.
    rewrite (map_ext_in _ (fun j => if Z.of_nat j <? Z.of_nat n then 1 else 0)).
    + rewrite IH by lia. lia.
    + intros j hj%in_seq. destruct (Z.ltb_spec (Z.of_nat j) (Z.of_nat n + 1)),
        (Z.ltb_spec (Z.of_nat j) (Z.of_nat n)); lia.
  - rewrite IH by lia. lia.
Qed.

Lemma others_differences P d : 0 <= P -> Forall (fun p => Z.abs p <= P) d ->
  differences (length d) (others P d) (caller d) = d.
Proof.
  intros hP. induction d as [|p d IH]; intros short; [easy|].
  inversion short as [|? ? hp hs]; subst. cbn [length differences caller]. f_equal.
  - rewrite odd_build, others_size by easy. unfold others.
    transitivity (sum (fun y => y) (map (fun j => if Z.of_nat j <? ones P p then 1 else 0) (seq 0 (Z.to_nat P)))
                  - P * (if p <? 0 then 1 else 0)).
    + f_equal. generalize (seq 0 (Z.to_nat P)) as js.
      induction js as [|j js IHj]; [easy|]. cbn [map]. rewrite !sum_cons, IHj. f_equal. apply odd_build.
    + rewrite count_below; unfold ones; destruct (Z.ltb_spec p 0); lia.
  - rewrite div2_build. transitivity (differences (length d) (others P d) (caller d)); [|now apply IH].
    f_equal. unfold others. rewrite map_map. apply map_ext. intros j. apply div2_build.
Qed.

Lemma relation_breaks weights P modulus d : 0 <= P -> 0 < modulus ->
  sound weights P modulus -> short_relation weights P modulus d -> False.
Proof.
  intros hP pos good (len & short & non & zero).
  pose proof (others_differences P d hP short) as diff.
  assert (chunks : Forall (is_chunk (length weights)) (caller d :: others P d)).
  { rewrite <- len. constructor; [apply caller_chunk|]. unfold others. apply Forall_map.
    apply Forall_forall. intros j _. apply other_chunk. }
  apply (zero_and_not d); [|exact non]. rewrite <- diff at 1.
  rewrite len. apply differences_zero; [easy|].
  apply good; [easy|now rewrite others_size|].
  apply same_diff; [easy|]. now rewrite differences_dot, <- len, diff.
Qed.

Theorem sound_iff_no_short_relation_proved : sound_iff_no_short_relation.
Proof.
  intros weights P modulus hP pos. split.
  - intros good [d rel]. exact (relation_breaks weights P modulus d hP pos good rel).
  - intros none. apply sound_of_no_relation; [easy|]. intros d rel. apply none. now exists d.
Qed.

(** ** The room is needed: pigeonholes *)

(** All vectors with entries [0 .. P]. *)
Fixpoint vectors (P : nat) (digits : nat) : list (list Z) :=
  match digits with
  | O => [[]]
  | S rest => flat_map (fun v => map (fun j => Z.of_nat j :: v) (seq 0 (S P))) (vectors P rest)
  end.

Lemma flat_map_length_const (A B : Type) (f : A -> list B) k l :
  (forall x, length (f x) = k) -> length (flat_map f l) = (length l * k)%nat.
Proof. intros hf. induction l as [|x l IH]; [easy|]. cbn. rewrite app_length, hf, IH. reflexivity. Qed.

Lemma vectors_length P digits : length (vectors P digits) = (S P ^ digits)%nat.
Proof.
  induction digits as [|digits IH]; [easy|]. cbn [vectors].
  rewrite (flat_map_length_const _ _ _ (S P)), IH.
  - cbn [Nat.pow]. lia.
  - intros v. now rewrite map_length, seq_length.
Qed.

Lemma vectors_in P digits v : In v (vectors P digits) ->
  length v = digits /\ Forall (fun p => 0 <= p <= Z.of_nat P) v.
Proof.
  revert v. induction digits as [|digits IH]; intros v; cbn [vectors].
  - intros [<-|[]]. now split.
  - rewrite in_flat_map. intros (u & hu & hv). apply in_map_iff in hv as (j & <- & hj%in_seq).
    destruct (IH u hu). split; cbn; [lia|]. constructor; [lia|easy].
Qed.

Lemma NoDup_app_disjoint (A : Type) (p q : list A) :
  NoDup p -> NoDup q -> (forall y, In y p -> ~ In y q) -> NoDup (p ++ q).
Proof.
  intros hp hq dis. induction p as [|y p IH]; [easy|]. inversion hp; subst. cbn. constructor.
  - rewrite in_app_iff. intros [h|h]; [easy|]. apply (dis y); [now left|easy].
  - apply IH; [easy|]. intros z hz. apply dis. now right.
Qed.

Lemma vectors_NoDup P digits : NoDup (vectors P digits).
Proof.
  induction digits as [|digits IH]; cbn [vectors]; [now repeat constructor|].
  induction (vectors P digits) as [|v vs IHv]; [constructor|].
  inversion IH; subst. cbn [flat_map]. apply NoDup_app_disjoint; [| now apply IHv |].
  - generalize (seq_NoDup (S P) 0). generalize (seq 0 (S P)). intros js hj.
    induction js as [|j js IHj]; cbn; constructor; inversion hj; subst; [|now apply IHj].
    rewrite in_map_iff. intros (i & e & hi). injection e as e%Nat2Z.inj. now subst.
  - intros u hu. rewrite in_flat_map. intros (v' & hv' & hu').
    apply in_map_iff in hu as (j & <- & _). apply in_map_iff in hu' as (j' & e & _).
    injection e as _ ->. contradiction.
Qed.

(** More pigeons than holes: two share one, and we can name them. *)
Lemma pigeonhole (A : Type) (f : A -> Z) modulus : 0 < modulus -> forall l,
  NoDup l -> modulus < Z.of_nat (length l) -> (forall y, In y l -> 0 <= f y < modulus) ->
  exists p q, In p l /\ In q l /\ p <> q /\ f p = f q.
Proof.
  intros pos l nd more range.
  assert (dec : NoDup (map f l) \/ exists p q, In p l /\ In q l /\ p <> q /\ f p = f q).
  { clear more range. induction nd as [|y l out nd IH]; [left; constructor|].
    destruct IH as [IH|(p & q & hp & hq & ne & eq)].
    - destruct (in_dec Z.eq_dec (f y) (map f l)) as [yes|no].
      + right. apply in_map_iff in yes as (z & eq & hz). exists y, z.
        repeat split; [now left|now right| |easy]. intros ->. contradiction.
      + left. now constructor.
    - right. exists p, q. repeat split; auto; now right. }
  destruct dec as [distinct|]; [exfalso|easy].
  pose proof (NoDup_incl_length distinct (l' := map Z.of_nat (seq 0 (Z.to_nat modulus)))) as le.
  rewrite !map_length, seq_length in le. enough (length l <= Z.to_nat modulus)%nat by lia.
  apply le. intros z hz. apply in_map_iff in hz as (y & <- & hy). pose proof (range y hy).
  apply in_map_iff. exists (Z.to_nat (f y)). split; [lia|]. apply in_seq. lia.
Qed.

Fixpoint minus (u v : list Z) : list Z :=
  match u, v with p :: u, q :: v => p - q :: minus u v | _, _ => [] end.

Lemma minus_facts P : forall u v weights,
  length u = length weights -> length v = length weights ->
  Forall (fun p => 0 <= p <= P) u -> Forall (fun p => 0 <= p <= P) v ->
  length (minus u v) = length weights /\ Forall (fun p => Z.abs p <= P) (minus u v) /\
  dot (minus u v) weights = dot u weights - dot v weights /\
  (Forall (fun p => p = 0) (minus u v) -> u = v).
Proof.
  induction u as [|p u IH]; intros [|q v] [|w weights]; cbn [length]; try easy; intros lu lv bu bv.
  { repeat split; constructor. }
  inversion bu; inversion bv; subst. cbn [minus dot length].
  destruct (IH v weights) as (h1 & h2 & h3 & h4); [lia..|easy|easy|]. repeat split.
  - now rewrite h1.
  - constructor; [lia|easy].
  - rewrite h3. lia.
  - intros zero. inversion zero; subst. f_equal; [lia|auto].
Qed.

Theorem room_is_needed_proved : room_is_needed.
Proof.
  intros weights P modulus hP pos few.
  set (vs := vectors (Z.to_nat P) (length weights)).
  destruct (pigeonhole _ (fun v => dot v weights mod modulus) modulus pos vs)
    as (u & v & hu & hv & ne & eq).
  - apply vectors_NoDup.
  - unfold vs. rewrite vectors_length, Nat2Z.inj_pow, Nat2Z.inj_succ, Z2Nat.id by easy. exact few.
  - intros v _. now apply Z.mod_pos_bound.
  - apply vectors_in in hu as [lu bu]. apply vectors_in in hv as [lv bv].
    rewrite Z2Nat.id in bu, bv by easy.
    destruct (minus_facts P u v weights lu lv bu bv) as (h1 & h2 & h3 & h4).
    exists (minus u v). split; [easy|]. split; [easy|]. split.
    + destruct (zero_or_not (minus u v)) as [zero|]; [|easy]. exfalso. auto.
    + rewrite h3, Zminus_mod, eq, Z.sub_diag. apply Z.mod_0_l. lia.
Qed.

(** ** Powers of a base above P *)

Lemma powers_length base digits : length (powers base digits) = digits.
Proof. induction digits as [|n IH]; cbn; [easy|]. now rewrite map_length, IH. Qed.

Lemma dot_scale k d : forall weights, dot d (map (Z.mul k) weights) = k * dot d weights.
Proof.
  induction d as [|p d IH]; intros [|w weights]; cbn [map dot]; try lia. rewrite IH. lia.
Qed.

Lemma dot_cons p d q weights : dot (p :: d) (q :: weights) = p * q + dot d weights.
Proof. reflexivity. Qed.

(** Digits below the base cannot reach its next power. *)
Lemma dot_powers_small base P digits : 0 <= P < base -> forall d,
  length d = digits -> Forall (fun p => Z.abs p <= P) d ->
  Z.abs (dot d (powers base digits)) < base ^ Z.of_nat digits.
Proof.
  intros hP. induction digits as [|digits IH]; intros [|p d]; try easy.
  intros len short. inversion short; subst. cbn [powers]. rewrite dot_cons, dot_scale.
  injection len as len. specialize (IH d len ltac:(easy)).
  rewrite Nat2Z.inj_succ, Z.pow_succ_r by lia.
  assert (base * Z.abs (dot d (powers base digits)) <= base * (base ^ Z.of_nat digits - 1))
    by (apply Z.mul_le_mono_nonneg_l; lia).
  pose proof (Z.abs_triangle (p * 1) (base * dot d (powers base digits))) as tri.
  rewrite (Z.abs_mul base), (Z.abs_eq base) in tri by lia. lia.
Qed.

(** Digits are unique. *)
Lemma dot_powers_zero base P digits : 0 <= P < base -> forall d,
  length d = digits -> Forall (fun p => Z.abs p <= P) d ->
  dot d (powers base digits) = 0 -> Forall (fun p => p = 0) d.
Proof.
  intros hP. induction digits as [|digits IH]; intros [|p d]; try easy.
  intros len short. inversion short; subst. cbn [powers]. rewrite dot_cons, dot_scale.
  injection len as len. intros zero.
  assert (dot d (powers base digits) = 0).
  { assert (Z.abs (base * dot d (powers base digits)) < base) by lia.
    rewrite (Z.abs_mul base), (Z.abs_eq base) in * by lia.
    destruct (Z.eq_dec (dot d (powers base digits)) 0) as [|ne]; [easy|].
    pose proof (Z.mul_le_mono_nonneg_l 1 (Z.abs (dot d (powers base digits))) base). lia. }
  constructor; [lia|]. now apply IH.
Qed.

Theorem generations_sound_proved : generations_sound.
Proof.
  intros base digits P modulus hP room.
  assert (pos : 0 < base ^ Z.of_nat digits) by (apply Z.pow_pos_nonneg; lia).
  apply sound_of_no_relation; [lia|]. intros d (len & short & non & zero).
  rewrite powers_length in len.
  apply (zero_and_not d); [|exact non]. apply (dot_powers_zero base P digits hP d len short).
  pose proof (dot_powers_small base P digits hP d len short).
  apply Z.mod_divide in zero as [k hk]; [|lia]. rewrite hk in *.
  rewrite Z.abs_mul, (Z.abs_eq modulus) in * by lia.
  destruct (Z.eq_dec k 0) as [->|ne]; [easy|].
  pose proof (Z.mul_le_mono_nonneg_r 1 (Z.abs k) modulus). lia.
Qed.

Theorem generations_exactly_proved : generations_exactly.
Proof.
  intros digits P modulus hP pos. split.
  - intros good. destruct (Z.leb_spec ((P + 1) ^ Z.of_nat digits) modulus) as [|few]; [easy|].
    rewrite <- (powers_length (P + 1) digits) in few.
    destruct (room_is_needed_proved _ P modulus hP pos few) as [d rel].
    exfalso. exact (relation_breaks _ P modulus d hP pos good rel).
  - intros room. apply generations_sound_proved; [lia|easy].
Qed.
