(** * owner-counter, and the heuristics that look at one page

    What: the invariant of owner-counter; sequences on which each scheme errs.
    Idea: [others] is what the first mapper does not map; if it is 0, nobody else maps. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements Bookkeeping.
Import ListNotations.
Open Scope Z_scope.

(** ** owner-counter *)

Definition owner_counter_ok (ids : list Z) (s : owner_counter) : Prop :=
  oc_total s = size ids /\ others s = size ids - count (first s) ids.

Lemma owner_counter_step_ok ids s e rest : 1 <= mm e ->
  owner_counter_ok ids s -> step ids e = Some rest -> owner_counter_ok rest (owner_counter_step s e).
Proof.
  intros hm (tot & oth) es. unfold owner_counter_ok, owner_counter_step. cbn.
  rewrite (step_size _ _ _ es), tot, oth.
  pose proof (step_size _ _ _ es) as hs. pose proof (size_nonneg rest).
  assert (none : forall l, size l = 0 -> forall m, count m l = 0)
    by (intros l hl m; pose proof (count_bounds m l); lia).
  split; [easy|]. destruct (Z.eqb_spec (size ids + nr e) 0) as [gone|left].
  - rewrite (none rest) by lia.
    set (who := if size ids =? 0 then mm e else first s).
    assert (tail : count who rest = 0) by (apply none; lia). rewrite (step_count _ _ _ _ es) in tail.
    unfold who in *. cases; try rewrite (none ids) in * by easy; lia.
  - rewrite (step_count _ _ _ _ es). cases; try rewrite !(none ids) by easy; try congruence; lia.
Qed.

Lemma owner_counter_always_ok es ids : real_mms es -> mappings es = Some ids ->
  owner_counter_ok ids (owner_counter_run es).
Proof.
  intros real em.
  apply (invariant_from _ _ owner_counter_ok _ owner_counter_step_ok es [] _ ids real); [|exact em].
  now split.
Qed.

Theorem owner_counter_never_false_exclusive_proved : owner_counter_never_false_exclusive.
Proof.
  intros es ids x real em. pose proof (owner_counter_always_ok es ids real em) as (tot & oth).
  unfold owner_counter_verdict. rewrite tot.
  destruct (Z.eqb_spec (size ids) 0) as [none|some]; cbn.
  - apply size_zero in none as ->. intros _ y [].
  - destruct (Z.eqb_spec (first (owner_counter_run es)) x) as [mine|]; cbn; [|easy].
    destruct (Z.eqb_spec (others (owner_counter_run es)) 0); [|easy].
    intros _. apply exclusive_to_count. rewrite mine in oth. lia.
Qed.

(** While somebody maps the folio, its first mapper stays on record. *)
Lemma owner_counter_keeps_first m es : forall ids s rest,
  oc_total s = size ids -> first s = m -> always (fun ids => ids <> []) ids es ->
  mappings_from ids es = Some rest -> first (fold_left owner_counter_step es s) = m.
Proof.
  induction es as [|e es IH]; intros ids s rest tot own never em; cbn in em, never |- *; [easy|].
  destruct never as [here never]. destruct (step ids e) as [mid|] eqn:e1; [|easy].
  rewrite <- size_zero in here.
  assert (mid_some : size mid <> 0) by (rewrite size_zero; destruct es; apply never).
  rewrite (step_size _ _ _ e1) in mid_some.
  apply (IH mid _ rest); auto; unfold owner_counter_step; cbn.
  - rewrite (step_size _ _ _ e1). lia.
  - rewrite tot. cases; try lia; easy.
Qed.

Theorem owner_counter_exact_while_first_mapper_maps_proved :
  owner_counter_exact_while_first_mapper_maps.
Proof.
  intros before m p k en es ids x since real start never em here.
  split; [now apply owner_counter_never_false_exclusive_proved|].
  pose proof (owner_counter_always_ok _ _ real em) as (tot & oth).
  assert (own : first (owner_counter_run (before ++ since)) = m).
  { pose proof (owner_counter_always_ok before [] (proj1 (proj1 (Forall_app _ _ _) real)) start) as (tot0 & _).
    unfold mappings in em, start. rewrite mappings_from_app, start in em. unfold since in *. cbn in em.
    unfold owner_counter_run in *. rewrite fold_left_app. cbn [fold_left].
    set (s := fold_left owner_counter_step before owner_counter_start) in *.
    destruct (step [] (Ev m p k en)) as [mid|] eqn:e1; [|easy].
    assert (pos : 0 < k).
    { unfold step in e1. cbn in e1. destruct (Z.ltb_spec 0 k); [easy|].
      destruct (Z.ltb_spec k 0) as [neg|]; [|easy].
      destruct (Z.to_nat (- k)) eqn:ek; [lia|]. discriminate. }
    assert (emid : mid = repeat m (Z.to_nat k)).
    { unfold step in e1. cbn in e1. rewrite (proj2 (Z.ltb_lt 0 k) pos), app_nil_r in e1. congruence. }
    subst mid. pose proof (step_size _ _ _ e1) as hs. cbn in hs.
    apply (owner_counter_keeps_first m es _ _ _) with (3 := never) (4 := em).
    - cbn. rewrite tot0. exact (eq_sym hs).
    - cbn. rewrite tot0. cbn. cases; try lia; easy. }
  intros ex. pose proof (ex m here) as <-. apply exclusive_to_count in ex.
  unfold owner_counter_verdict. rewrite own in *. rewrite oth, ex, Z.sub_diag, !Z.eqb_refl.
  now rewrite orb_true_r.
Qed.

(** The first mapper leaves; the other is alone, but not the one on record. *)
Theorem owner_counter_false_shared_proved : owner_counter_false_shared.
Proof.
  exists [Ev 1 0 1 false; Ev 2 0 1 false; Ev 1 0 (-1) false], [2], 2.
  split; [repeat constructor; easy|]. repeat split; [easy|]. intros y [<-|[]]. reflexivity.
Qed.

(** ** The heuristics *)

(** A folio of two pages or more has a page that is not the first. *)
Lemma two_pages o : 1 <= o -> 2 <= 2^o.
Proof. intros ho. now apply (Z.pow_le_mono_r 2 1 o). Qed.

(** MM 1 maps the first page, MM 2 the second. *)
Definition side_by_side : list event := [Ev 1 0 1 false; Ev 2 1 1 false].

(** MM 1 maps the first page twice. *)
Definition twice : list event := [Ev 1 0 1 false; Ev 1 0 1 false].

Lemma side_by_side_inside o : 1 <= o -> inside o side_by_side.
Proof. intros ho%two_pages. repeat constructor; cbn; lia. Qed.

Lemma twice_inside o : 1 <= o -> inside o twice.
Proof. intros ho%two_pages. repeat constructor; cbn; lia. Qed.

Lemma side_by_side_shared : ~ exclusive [2; 1].
Proof.
  intros [x ex]. pose proof (ex 2 (or_introl eq_refl)). pose proof (ex 1 (or_intror (or_introl eq_refl))). lia.
Qed.

Lemma twice_exclusive : exclusive [1; 1].
Proof. exists 1. intros y [<-|[<-|[]]]; reflexivity. Qed.

Lemma side_by_side_wrong o answer : 1 <= o ->
  answer (first_page_run side_by_side) = EXCLUSIVE -> wrong o answer EXCLUSIVE.
Proof.
  intros ho eq. exists side_by_side, [2; 1]. split; [now apply side_by_side_inside|].
  split; [reflexivity|]. split; [exact eq|]. exact side_by_side_shared.
Qed.

Lemma twice_wrong o answer : 1 <= o ->
  answer (first_page_run twice) = SHARED -> wrong o answer SHARED.
Proof.
  intros ho eq. exists twice, [1; 1]. split; [now apply twice_inside|].
  split; [reflexivity|]. split; [exact eq|]. exact twice_exclusive.
Qed.

Lemma likely_shared_two o f : 1 <= o ->
  likely_shared_verdict (2^o) (FirstPage 2 0 f) = if 1 <? f then SHARED else EXCLUSIVE.
Proof.
  intros ho%two_pages. unfold likely_shared_verdict. cbn [fp_total fp_entire fp_first].
  now rewrite (proj2 (Z.ltb_ge (2^o) 2) ho).
Qed.

Theorem estimated_sharers_false_exclusive_proved : estimated_sharers_false_exclusive.
Proof. intros o ho. now apply side_by_side_wrong. Qed.

Theorem estimated_sharers_false_shared_proved : estimated_sharers_false_shared.
Proof. intros o ho. now apply twice_wrong. Qed.

Theorem likely_shared_false_exclusive_proved : likely_shared_false_exclusive.
Proof. intros o ho. apply side_by_side_wrong; [easy|]. exact (likely_shared_two o 1 ho). Qed.

Theorem likely_shared_false_shared_proved : likely_shared_false_shared.
Proof. intros o ho. apply twice_wrong; [easy|]. exact (likely_shared_two o 2 ho). Qed.
