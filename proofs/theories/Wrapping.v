(** * The sequence count's word

    What: the claims of Width.v.
    Idea: addition modulo the width has no history, so the word is the start and three sums; numbers that fit their fields are read
    off. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Width.
Import ListNotations.
Open Scope Z_scope.

Definition exact (l : layout) (ms : list change) : Z :=
  shared_inside ms + exclusive_inside ms * one_exclusive l + sections ms * section_step l.

Lemma total_app f p q : total_by f (p ++ q) = total_by f p + total_by f q.
Proof. unfold total_by. induction p as [|m p IH]; cbn [app fold_right]; lia. Qed.

Lemma exact_cons l m ms : exact l (m :: ms) = added l m + exact l ms.
Proof. unfold exact, shared_inside, exclusive_inside, sections, total_by, added. cbn [fold_right]. ring. Qed.

Lemma exact_app l p q : exact l (p ++ q) = exact l p + exact l q.
Proof. unfold exact, shared_inside, exclusive_inside, sections. rewrite !total_app. ring. Qed.

Lemma word_is l ms : forall start, 0 < width l -> 0 <= start < 2 ^ width l ->
  word_after l start ms = (start + exact l ms) mod 2 ^ width l.
Proof.
  induction ms as [|m ms IH]; intros start pos range.
  - cbn. now rewrite Z.add_0_r, Z.mod_small.
  - unfold word_after. cbn [fold_left]. fold (word_after l ((start + added l m) mod 2 ^ width l) ms).
    rewrite IH; [|assumption|apply Z.mod_pos_bound; lia]. rewrite Zplus_mod_idemp_l, exact_cons. f_equal. ring.
Qed.

Lemma word_from_0 l ms : sensible l -> word_after l 0 ms = exact l ms mod 2 ^ width l.
Proof. intros (s & e & q). rewrite word_is; [reflexivity|unfold width; lia|split; [lia|apply Z.pow_pos_nonneg; unfold width; lia]]. Qed.

Lemma powers l : sensible l ->
  0 < 2 ^ shared_bits l /\ 0 < 2 ^ exclusive_bits l /\ 1 < 2 ^ sequence_bits l /\
  section_step l = 2 ^ shared_bits l * 2 ^ exclusive_bits l /\
  2 ^ width l = 2 ^ shared_bits l * 2 ^ exclusive_bits l * 2 ^ sequence_bits l.
Proof.
  intros (s & e & q). unfold section_step, width. repeat split; try (apply Z.pow_pos_nonneg; lia).
  - now apply Z.pow_gt_1.
  - now rewrite Z.pow_add_r by lia.
  - now rewrite !Z.pow_add_r by lia.
Qed.

(** The word in mixed radix: writers below, sequence above. *)
Lemma word_parts l ms : sensible l -> fit l ms ->
  let low := shared_inside ms + exclusive_inside ms * one_exclusive l in
  0 <= low < section_step l /\
  word_after l 0 ms = low + sections ms mod 2 ^ sequence_bits l * section_step l.
Proof.
  intros ok (fs & fe) low. destruct (powers l ok) as (ps & pe & pq & step & all).
  assert (range : 0 <= low < section_step l) by (unfold low, one_exclusive; rewrite step; nia).
  split; [assumption|]. rewrite word_from_0, all by assumption. unfold exact. fold low. rewrite <- step.
  rewrite (Z.rem_mul_r _ (section_step l)) by lia.
  rewrite Z.mod_add, (Z.mod_small low) by lia. rewrite Z.div_add, (Z.div_small low) by lia. cbn [Z.add]. ring.
Qed.

Theorem fields_exact_proved : fields_exact.
Proof.
  intros l ms ok fits. cbv zeta. pose proof (word_parts l ms ok fits) as (range & ->).
  destruct (powers l ok) as (ps & pe & pq & step & _). destruct fits as (fs & fe).
  unfold shared_field, exclusive_field, sequence_field, one_exclusive in *. repeat split.
  - rewrite step. replace (_ + _ + _) with
      (shared_inside ms + (exclusive_inside ms + sections ms mod 2 ^ sequence_bits l * 2 ^ exclusive_bits l) * 2 ^ shared_bits l) by ring.
    now rewrite Z.mod_add, Z.mod_small by lia.
  - rewrite step. replace (_ + _ + _) with
      (shared_inside ms + (exclusive_inside ms + sections ms mod 2 ^ sequence_bits l * 2 ^ exclusive_bits l) * 2 ^ shared_bits l) by ring.
    rewrite Z.div_add, Z.div_small by lia. cbn [Z.add]. now rewrite Z.mod_add, Z.mod_small by lia.
  - now rewrite Z.div_add, Z.div_small by lia.
Qed.

Theorem cpus_fit_proved : cpus_fit.
Proof. intros l cpus ms ok few fewer sh ex sum. unfold fit. lia. Qed.

Lemma entered n : shared_inside (repeat EnterShared n) = Z.of_nat n /\ exclusive_inside (repeat EnterShared n) = 0 /\
  sections (repeat EnterShared n) = 0.
Proof.
  unfold shared_inside, exclusive_inside, sections, total_by.
  induction n as [|n IH]; [easy|]. cbn [repeat fold_right shared_by exclusive_by sections_by]. lia.
Qed.

Theorem one_too_many_proved : one_too_many.
Proof.
  intros l ok. cbv zeta. destruct (powers l ok) as (ps & pe & pq & step & all).
  destruct (entered (Z.to_nat (2 ^ shared_bits l))) as (sh & ex & sec).
  rewrite word_from_0, all by assumption. unfold exact. rewrite sh, ex, sec, Z2Nat.id by lia. rewrite Z.mul_0_l, !Z.add_0_r.
  assert (at_least : 2 ^ shared_bits l <= 2 ^ shared_bits l * 2 ^ exclusive_bits l) by nia.
  rewrite Z.mod_small by nia. unfold shared_field, writers_field, sequence_field, exclusive_field, one_exclusive.
  split; [apply Z.mod_same; lia|split].
  - intros none. rewrite step, none, Z.pow_0_r, Z.mul_1_r, Z.mod_same, Z.div_same by lia. split; [reflexivity|].
    now rewrite Z.mod_small by lia.
  - intros some. rewrite Z.div_same by lia. apply Z.mod_small. split; [lia|]. now apply Z.pow_gt_1.
Qed.

Theorem reader_misses_exactly_wraps_proved : reader_misses_exactly_wraps.
Proof.
  intros l before during ok sh ex fits.
  assert (quiet : fit l before) by (destruct (powers l ok) as (ps & pe & _); unfold fit; rewrite sh, ex; lia).
  pose proof (word_parts l before ok quiet) as (_ & ->). pose proof (word_parts l _ ok fits) as (range & ->).
  destruct (powers l ok) as (ps & pe & pq & step & _). destruct fits as (fs & fe).
  unfold shared_inside, exclusive_inside, sections in *. rewrite !total_app in *. rewrite sh, ex in *. cbn [Z.add Z.mul] in *.
  unfold one_exclusive in *. set (q := 2 ^ sequence_bits l) in *. set (b := total_by sections_by before) in *.
  set (d := total_by sections_by during) in *. set (low := _ + _ * 2 ^ shared_bits l) in *.
  pose proof (Z.mod_pos_bound b q ltac:(lia)). pose proof (Z.mod_pos_bound (b + d) q ltac:(lia)).
  split.
  - intros eq. remember ((b + d) mod q) as x eqn:x_is. remember (b mod q) as y eqn:y_is.
    assert (x = y) as same by (destruct (Z.lt_trichotomy x y) as [less|[is|more]]; [nia|exact is|nia]).
    assert (zero : low = 0) by (rewrite same in eq; lia). clear eq. unfold low in zero.
    assert (nobody : total_by exclusive_by during = 0) by nia. split; [lia|split; [exact nobody|]].
    apply Z.mod_divide; [lia|]. replace d with (b + d - b) by ring.
    now rewrite Zminus_mod, <- x_is, <- y_is, same, Z.sub_diag, Z.mod_0_l by lia.
  - intros (z1 & z2 & (k & d_is)). replace low with 0 by (unfold low; rewrite z1, z2; ring). rewrite d_is, Z.mod_add by lia. ring.
Qed.

Theorem short_reader_misses_nothing_proved : short_reader_misses_nothing.
Proof.
  intros l before during ok sh ex fits few eq.
  apply (reader_misses_exactly_wraps_proved l before during ok sh ex fits) in eq as (_ & _ & (k & is)).
  destruct (powers l ok) as (_ & _ & pq & _). assert (k <= 0 \/ 1 <= k) as [low|high] by lia; nia.
Qed.

Lemma least_each least ds : Forall (fun d => least <= d) ds -> Z.of_nat (length ds) * least <= sum_of ds.
Proof. unfold sum_of. induction 1 as [|d ds le _ IH]; cbn [length fold_right]; lia. Qed.

Theorem wrap_takes_proved : wrap_takes.
Proof.
  intros l cpus least time _ pos each wraps.
  enough (sum_of (map (fun ds => Z.of_nat (length ds)) cpus) * least <= time * Z.of_nat (length cpus)) by nia. clear wraps.
  unfold sum_of. induction each as [|ds cpus (long & short) _ IH]; cbn [map length fold_right]; [lia|].
  pose proof (least_each least ds long). lia.
Qed.

Theorem layouts_sensible_proved : layouts_sensible.
Proof. split; [unfold layouts; repeat (constructor; [unfold sensible; cbn; lia|]); constructor|reflexivity]. Qed.
