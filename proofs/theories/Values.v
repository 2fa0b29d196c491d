(** * generations: several values, the decision procedure, the tables

    What: from one value's soundness to the scheme as it runs, and to each row.
    Idea: equal in every chunk is equal; a table row is one inequality or one search. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements Bookkeeping Generations.
Import ListNotations.
Open Scope Z_scope.

(** ** Several values *)

Definition chunk (B k : nat) (id : Z) : Z := Z.shiftr id (Z.of_nat (k * B)) mod 2 ^ Z.of_nat B.

Lemma chunk_range B k id : is_chunk B (chunk B k id).
Proof. apply Z.mod_pos_bound, pow2_pos. lia. Qed.

Lemma mod_build digits c :
  c mod 2 ^ Z.of_nat (S digits) = 2 * (Z.div2 c mod 2 ^ Z.of_nat digits) + (if Z.odd c then 1 else 0).
Proof.
  rewrite Nat2Z.inj_succ, Z.pow_succ_r by lia.
  pose proof (pow2_pos (Z.of_nat digits) ltac:(lia)) as pos.
  pose proof (Z.mod_pos_bound (Z.div2 c) _ pos). pose proof (Z.div_mod (Z.div2 c) (2 ^ Z.of_nat digits)).
  pose proof (div2_odd c) as e. unfold odd in e.
  symmetry. apply (Z.mod_unique_pos _ _ (Z.div2 c / 2 ^ Z.of_nat digits)); destruct (Z.odd c); lia.
Qed.

(** A value reads only its chunk. *)
Lemma read_binary_mod weights : forall c,
  read_binary weights (c mod 2 ^ Z.of_nat (length weights)) = read_binary weights c.
Proof.
  induction weights as [|w weights IH]; intros c; [easy|].
  cbn [length read_binary]. rewrite mod_build, div2_build, IH. f_equal.
  pose proof (odd_build (Z.div2 c mod 2 ^ Z.of_nat (length weights)) (Z.odd c)) as e. unfold odd in e.
  destruct (Z.odd (2 * _ + _)), (Z.odd c); easy.
Qed.

Lemma subid_chunk base B k id : subid base B k id = read_binary (powers base B) (chunk B k id).
Proof.
  unfold subid, chunk. pose proof (read_binary_mod (powers base B) (Z.shiftr id (Z.of_nat (k * B)))) as e.
  now rewrite powers_length in e.
Qed.

Lemma chunks_equal B : forall K y x, is_chunk (K * B) y -> is_chunk (K * B) x ->
  (forall k, (k < K)%nat -> chunk B k y = chunk B k x) -> y = x.
Proof.
  induction K as [|K IH]; intros y x hy hx eq.
  - unfold is_chunk in *. cbn in *. lia.
  - pose proof (pow2_pos (Z.of_nat B) ltac:(lia)) as pos.
    assert (split : forall c, is_chunk (S K * B) c ->
      is_chunk (K * B) (Z.shiftr c (Z.of_nat B)) /\
      c = 2 ^ Z.of_nat B * Z.shiftr c (Z.of_nat B) + chunk B 0 c).
    { unfold is_chunk, chunk. intros c. rewrite !Z.shiftr_div_pow2 by lia.
      replace (Z.of_nat (S K * B)) with (Z.of_nat B + Z.of_nat (K * B)) by lia.
      rewrite Z.pow_add_r by lia. cbn [Nat.mul Z.of_nat]. rewrite Z.pow_0_r, Z.div_1_r.
      intros hc. split; [|apply Z.div_mod; lia].
      split; [apply Z.div_pos; lia|apply Z.div_lt_upper_bound; lia]. }
    destruct (split y hy) as [hy' ey], (split x hx) as [hx' ex]. rewrite ey, ex.
    rewrite (eq 0%nat) by lia. do 2 f_equal. apply IH; [easy..|]. intros k hk.
    specialize (eq (S k) ltac:(lia)). unfold chunk in *. rewrite !Z.shiftr_shiftr by lia.
    replace (Z.of_nat B + Z.of_nat (k * B)) with (Z.of_nat (S k * B)) by lia. exact eq.
Qed.

Lemma several_of_one base B K P modulus :
  sound (powers base B) P modulus -> several_sound base B K P modulus.
Proof.
  intros good ids x all small. split.
  - intros eq. rewrite all_same_spec in eq. intros y hy. rewrite Forall_forall in all.
    apply (chunks_equal B K); [apply all; now right|apply all; now left|]. intros k hk.
    assert (ex : exclusive_to (chunk B k x) (map (chunk B k) ids)).
    { apply good.
      - rewrite powers_length. change (Forall (is_chunk B) (map (chunk B k) (x :: ids))).
        apply Forall_map, Forall_forall. intros c _. apply chunk_range.
      - now rewrite size_map.
      - specialize (eq (subid base B k)). rewrite size_map, sum_map, <- subid_chunk.
        rewrite (sum_ext _ (subid base B k)) by (intros c _; now rewrite subid_chunk).
        apply eq. unfold subids. apply in_map, in_seq. lia. }
    apply ex, in_map, hy.
  - intros ex. now apply all_same_exclusive.
Qed.

Lemma read_binary_zero weights : read_binary weights 0 = 0.
Proof. induction weights as [|w weights IH]; cbn; lia. Qed.

Lemma subid_low base B k c : is_chunk B c ->
  subid base B k c = if (k =? 0)%nat then read_binary (powers base B) c else 0.
Proof.
  intros hc. unfold subid. destruct k as [|k]; cbn [Nat.eqb]; [now rewrite Z.shiftr_0_r|].
  rewrite Z.shiftr_div_pow2 by lia. rewrite Z.div_small; [apply read_binary_zero|].
  unfold is_chunk in hc. split; [lia|]. eapply Z.lt_le_trans; [apply hc|].
  apply Z.pow_le_mono_r; lia.
Qed.

Theorem several_iff_one_proved : several_iff_one.
Proof.
  intros base B K P modulus pos hK. split; [|apply several_of_one].
  intros good ids x all small. rewrite powers_length in all. split.
  - intros eq. apply good; [|easy|].
    + eapply Forall_impl; [|exact all]. unfold is_chunk. intros c hc. split; [lia|].
      eapply Z.lt_le_trans; [apply hc|]. apply Z.pow_le_mono_r; [lia|].
      apply Nat2Z.inj_le. destruct K; [lia|]. cbn. lia.
    + apply all_same_spec. intros a ha. unfold subids in ha. apply in_map_iff in ha as (k & <- & _).
      inversion all as [|? ? hx hids]; subst. rewrite Forall_forall in hids.
      rewrite (sum_ext _ _ ids (fun y hy => subid_low base B k y (hids y hy))), subid_low by easy.
      destruct (k =? 0)%nat; [exact eq|].
      rewrite (sum_ext _ (fun _ => 0 * 0)) by easy. rewrite sum_scale, Z.mul_0_r. apply same_refl.
  - intros ex. rewrite (sum_exclusive _ x ids ex). apply same_refl.
Qed.

(** ** The scheme from its events *)

Lemma generations_from_sound w o base B K : 0 <= w ->
  sound (powers base B) (2^o) (2^w) -> generations_right w o base B K.
Proof.
  intros hw good es ids x em small all v. pose proof (pow2_pos w hw) as room.
  pose proof (several_of_one base B K _ _ good ids x all) as several. unfold v. clear v.
  rewrite (bookkeeping_proved _ _ _ _ room em). cbn [map generations_addends generations_verdict].
  rewrite sum_one, (Z.mod_small (size ids)) by (pose proof (size_nonneg ids); lia).
  rewrite (all_same_wrapped _ _ _ room).
  destruct (Z.leb_spec (size ids) (2^o)) as [le|gt]; cbn [andb].
  - specialize (several le). destruct (all_same _ _ _ _ x); repeat split; try easy.
    + intros _. now apply several.
    + intros _ ex. apply several in ex. discriminate.
  - repeat split; [easy..|lia].
Qed.

Theorem generations_scheme_proved : generations_scheme.
Proof.
  intros w o base B K hw ho room. apply generations_from_sound; [easy|].
  apply generations_sound_proved; [|easy]. split; [apply Z.pow_nonneg; lia|easy].
Qed.

(** ** The safe table *)

Lemma ceil_div_enough p q : 0 < q -> p <= q * ceil_div p q.
Proof.
  intros hq. unfold ceil_div. pose proof (Z.div_mod (p + q - 1) q ltac:(lia)).
  pose proof (Z.mod_pos_bound (p + q - 1) q hq). lia.
Qed.

Lemma ceil_div_least p q m : 0 < q -> p <= q * m -> ceil_div p q <= m.
Proof.
  intros hq hm. unfold ceil_div. apply Z.lt_succ_r, Z.div_lt_upper_bound; [easy|]. lia.
Qed.

Lemma ceil_div_pos p q : 0 < p -> 0 < q -> 0 < ceil_div p q.
Proof. intros hp hq. pose proof (ceil_div_enough p q hq). nia. Qed.

Theorem generations_safe_proved : generations_safe.
Proof.
  intros w o b es ids x how hb em small all.
  pose proof (pow2_pos o ltac:(lia)) as po.
  assert (one : 1 <= safe_digits w o).
  { apply largest_is_largest; [|lia]. apply Z.leb_le. rewrite Z.pow_1_r.
    assert (2^(o + 1) <= 2^w) by (apply Z.pow_le_mono_r; lia).
    rewrite Z.pow_add_r in * by lia. lia. }
  assert (fits : (2^o + 1) ^ safe_digits w o <= 2^w).
  { apply Z.leb_le. apply (largest_passes (fun N => (2^o + 1) ^ N <=? 2^w)). unfold safe_digits in one. lia. }
  set (N := safe_digits w o) in *. set (K := safe_values w o b). set (B := safe_chunk w o b).
  assert (pK : 0 < K) by (apply ceil_div_pos; unfold N in *; lia).
  assert (pB : 0 < B) by (apply ceil_div_pos; lia).
  assert (BN : B <= N).
  { apply ceil_div_least; [easy|]. rewrite Z.mul_comm. apply ceil_div_enough. unfold N in *; lia. }
  assert (all' : Forall (is_chunk (Z.to_nat K * Z.to_nat B)) (x :: ids)).
  { eapply Forall_impl; [|exact all]. unfold is_id, is_chunk. intros c hc. split; [lia|].
    eapply Z.lt_le_trans; [apply hc|]. apply Z.pow_le_mono_r; [lia|].
    rewrite Nat2Z.inj_mul, !Z2Nat.id by lia. apply ceil_div_enough. exact pK. }
  apply (generations_scheme_proved w o (2^o + 1) (Z.to_nat B) (Z.to_nat K)); [lia|lia| |easy..].
  rewrite Z2Nat.id by lia. eapply Z.le_trans; [|exact fits]. apply Z.pow_le_mono_r; lia.
Qed.

(** ** Deciding one value *)

Lemma reaches_spec base P digits : 0 <= P < base -> forall v,
  reaches base P digits v = true <->
  exists d, length d = digits /\ Forall (fun p => Z.abs p <= P) d /\ dot d (powers base digits) = v.
Proof.
  intros hP. induction digits as [|digits IH]; intros v; cbn [reaches].
  - rewrite Z.eqb_eq. split; [intros ->; now exists []|]. intros ([|p d] & len & _ & eq); easy.
  - pose proof (Z.div_mod v base ltac:(lia)) as dm. pose proof (Z.mod_pos_bound v base ltac:(lia)) as bd.
    set (q := v / base) in *. set (r := v mod base) in *.
    rewrite orb_true_iff, !andb_true_iff, !IH, !Z.leb_le. split.
    + intros [[hr (d & len & short & eq)]|[hr (d & len & short & eq)]].
      * exists (r :: d). cbn [length powers]. rewrite dot_cons, dot_scale, eq.
        repeat split; [now rewrite len| |lia]. constructor; [lia|easy].
      * exists (r - base :: d). cbn [length powers]. rewrite dot_cons, dot_scale, eq.
        repeat split; [now rewrite len| |lia]. constructor; [lia|easy].
    + intros ([|p d] & len & short & eq); [easy|]. injection len as len.
      apply Forall_cons_iff in short as [hp hs]. cbn [powers] in eq. rewrite dot_cons, dot_scale in eq.
      set (t := dot d (powers base digits)) in *.
      (* p = r + base * (q - t) lies in (-base, base). *)
      assert (t = q \/ t = q + 1) as [et|et].
      { assert (p = r + base * (q - t)) by lia. clear - H hp hP bd.
        assert (-1 <= q - t <= 0) by nia. lia. }
      * left. split; [lia|]. exists d. auto.
      * right. split; [lia|]. exists d. auto.
Qed.

Lemma dot_bound P d : forall weights, Forall (fun w => 0 <= w) weights ->
  Forall (fun p => Z.abs p <= P) d -> length d = length weights ->
  dot d weights <= fold_right (fun w rest => P * w + rest) 0 weights.
Proof.
  induction d as [|p d IH]; intros [|w weights]; try easy. intros pos short [= len].
  inversion pos; inversion short; subst. rewrite dot_cons. cbn [fold_right].
  specialize (IH weights ltac:(easy) ltac:(easy) len).
  assert (p * w <= P * w) by (apply Z.mul_le_mono_nonneg_r; lia). lia.
Qed.

Lemma powers_nonneg base digits : 0 <= base -> Forall (fun w => 0 <= w) (powers base digits).
Proof.
  intros hb. induction digits as [|n IH]; cbn; constructor; [lia|].
  apply Forall_map. eapply Forall_impl; [|exact IH]. intros; cbn beta. now apply Z.mul_nonneg_nonneg.
Qed.

Lemma dot_opp d : forall weights, dot (map Z.opp d) weights = - dot d weights.
Proof. induction d as [|p d IH]; intros [|w weights]; cbn [map dot]; try lia. rewrite IH. lia. Qed.

(** A short relation, or its negative, reaches a positive multiple. *)
Lemma relation_reaches base digits P modulus d : 0 <= P < base -> 0 < modulus ->
  short_relation (powers base digits) P modulus d -> decide base digits P modulus = false.
Proof.
  intros hP pos (len & short & non & zero). rewrite powers_length in len.
  apply Z.mod_divide in zero as [k hk]; [|lia].
  assert (gen : forall d k, 0 < k -> length d = digits -> Forall (fun p => Z.abs p <= P) d ->
    dot d (powers base digits) = k * modulus -> decide base digits P modulus = false).
  { clear - hP pos. intros d k hk len short eq. apply not_true_iff_false. unfold decide.
    rewrite forallb_forall. intros none. specialize (none (Z.to_nat k)). rewrite Z2Nat.id in none by lia.
    rewrite (proj2 (reaches_spec base P digits hP _)) in none by (now exists d).
    enough (false = true) by easy. apply none, in_seq.
    pose proof (dot_bound P d _ (powers_nonneg base digits ltac:(lia)) short
      ltac:(now rewrite powers_length)) as far.
    rewrite eq in far.
    rewrite Z.mul_comm in far. apply Z.div_le_lower_bound in far; [|easy]. lia. }
  destruct (Z.lt_trichotomy k 0) as [neg|[->|pos']].
  - apply (gen (map Z.opp d) (- k)); [lia|now rewrite map_length| |rewrite dot_opp; lia].
    apply Forall_map. eapply Forall_impl; [|exact short]. cbn beta. lia.
  - exfalso. apply (zero_and_not d); [|exact non]. now apply (dot_powers_zero base P digits).
  - now apply (gen d k).
Qed.

Theorem decide_correct_proved : decide_correct.
Proof.
  intros base digits P modulus hP pos. split.
  - intros yes. apply sound_of_no_relation; [easy|]. intros d rel.
    apply relation_reaches in rel; [congruence|easy|easy].
  - intros good. unfold decide. apply forallb_forall. intros k hk%in_seq.
    destruct (reaches base P digits (Z.of_nat k * modulus)) eqn:reach; [exfalso|easy].
    apply (reaches_spec base P digits hP) in reach as (d & len & short & eq).
    apply (relation_breaks (powers base digits) P modulus d); [lia|easy|easy|].
    split; [now rewrite powers_length|]. split; [easy|].
    rewrite eq, Z.mod_mul by lia. split; [|easy].
    destruct (zero_or_not d) as [zero|]; [exfalso|easy].
    enough (dot d (powers base digits) = 0) by nia.
    generalize (powers base digits). clear - zero.
    induction d as [|p d IH]; intros [|w weights]; try easy. inversion zero; subst.
    rewrite dot_cons, IH by easy. lia.
Qed.

(** ** The posted tables *)

Ltac inequality := vm_compute; first [reflexivity | discriminate].

Theorem posted_sound_proved : posted_sound.
Proof.
  intros o ho. destruct (posted o) as [[K B] base] eqn:row.
  assert (o = 2 \/ o = 3 \/ o = 4 \/ o = 5 \/ o = 6 \/ o = 10 \/ o = 11 \/ o = 12 \/ o = 13 \/ o = 14 \/ o = 15)
    as cases by lia.
  destruct (Z.eq_dec o 6) as [->|not6].
  - vm_compute in row. injection row as <- <- <-.
    apply generations_from_sound; [inequality|].
    apply decide_correct_proved; [split; inequality|inequality|]. vm_cast_no_check (eq_refl true).
  - repeat destruct cases as [->|cases]; try easy; try subst o;
      vm_compute in row; injection row as <- <- <-; apply generations_scheme_proved; inequality.
Qed.

Theorem posted_seventy_is_least_proved : posted_seventy_is_least.
Proof. apply decide_correct_proved; [split; inequality|inequality|]. vm_cast_no_check (eq_refl true). Qed.

Theorem posted_seven_digits_sound_proved : posted_seven_digits_sound.
Proof. apply generations_sound_proved; [split; inequality|inequality]. Qed.

Theorem four_values_sound_proved : four_values_sound.
Proof.
  intros o ho. apply generations_scheme_proved; [inequality| |inequality].
  assert (2^o <= 2^10) by (apply Z.pow_le_mono_r; lia). lia.
Qed.
