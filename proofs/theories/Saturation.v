(** * Mapcounts that saturate

    What: a bounded scheme answers as the scheme up to its limit, SHARED ever after.
    Idea: the wrapper's count is the size of the mappings as long as it never left its range. *)

From Coq Require Import ZArith List Bool Lia Znumtheory Zpow_facts.
From Rmaplab Require Import Definitions Statements System Bookkeeping Linear Isolation Interleaved.
Import ListNotations.
Open Scope Z_scope.

Lemma bounded_none top j es : fold_left (learn (bounded top j)) es None = None.
Proof. induction es as [|e es IH]; [easy|]. exact IH. Qed.

Lemma bounded_run top j es : forall ids k rest, mappings_from ids es = Some rest -> size ids <= top ->
  let s := fold_left (learn (bounded top j)) es (Some (size ids, k)) in
  (always (fun ids => size ids <= top) ids es /\ s = Some (size rest, fold_left (learn j) es k)) \/
  (~ always (fun ids => size ids <= top) ids es /\ s = None).
Proof.
  induction es as [|e es IH]; intros ids k rest em few; cbn [mappings_from] in em.
  - injection em as <-. left. now repeat split.
  - destruct (step ids e) as [mid|] eqn:e1; [|easy]. cbn [fold_left always]. rewrite e1. cbn [learn bounded].
    pose proof (step_size _ _ _ e1) as grows. pose proof (size_nonneg mid) as pos. rewrite <- grows.
    rewrite (proj2 (Z.leb_le 0 (size mid)) pos). cbn [andb]. destruct (Z.leb_spec (size mid) top) as [less|more].
    + destruct (IH mid (learn j k e) rest em less) as [[al eq]|[al eq]].
      * left. now split; [split|].
      * right. split; [now intros [_ later]|exact eq].
    + right. split; [|apply bounded_none]. intros [_ later]. destruct es; destruct later as [here _]; lia.
Qed.

Lemma bounded_after top j es ids : 0 <= top -> mappings es = Some ids ->
  (within top es /\ after (bounded top j) es = Some (size ids, after j es)) \/
  (~ within top es /\ after (bounded top j) es = None).
Proof. intros ht em. exact (bounded_run top j es [] (fresh j) ids em ht). Qed.

Theorem saturation_answers_proved : saturation_answers.
Proof.
  intros top j es ids more x ht em. destruct (bounded_after top j es ids ht em) as [[al eq]|[al eq]].
  - split; [|easy]. intros _. now rewrite eq.
  - split; [easy|]. intros _. unfold after in *. rewrite fold_left_app, eq. now rewrite (bounded_none top j more).
Qed.

Theorem saturation_right_proved : saturation_right.
Proof.
  intros top j good ht right es ids x ids_good real em hx said.
  destruct (bounded_after top j es ids ht em) as [[al eq]|[_ eq]]; fold (after (bounded top j) es) in said; rewrite eq in said.
  - exact (right es ids x (conj ids_good al) real em hx said).
  - discriminate said.
Qed.

(** 2^(f - 1) - 1 is odd, so no multiple of it is 0 modulo a power of two unless the factor is. *)
Theorem packed_saturated_proved : packed_saturated.
Proof.
  intros w f b q x hf hx. unfold packed_verdict, is_id in *.
  assert (half : 2^(f - 1) = 2 * 2^(f - 2)) by (rewrite <- Z.pow_succ_r by lia; f_equal; lia).
  pose proof (Z.pow_pos_nonneg 2 (f - 2) ltac:(lia) ltac:(lia)) as pos.
  assert (big : 2^f = 2 * 2^(f - 1)) by (rewrite <- Z.pow_succ_r by lia; f_equal; lia).
  rewrite (Z.mod_small (2^(f - 1) - 1)), (Z.div_small (2^(f - 1) - 1)) by lia.
  enough (differ : same (2^(w - f)) 0 ((2^(f - 1) - 1) * x) = false) by now rewrite differ.
  apply not_true_is_false. intros eq. apply same_spec in eq. rewrite Z.mod_0_l in eq by lia.
  symmetry in eq. apply Z.mod_divide in eq; [|lia].
  assert (prime : rel_prime (2^(w - f)) (2^(f - 1) - 1)).
  { apply rel_prime_sym, rel_prime_Zpower_r; [lia|]. apply bezout_rel_prime.
    apply (Bezout_intro _ _ _ (-1) (2^(f - 2))). lia. }
  apply (Gauss _ _ _ eq) in prime. apply Z.divide_pos_le in prime; lia.
Qed.
