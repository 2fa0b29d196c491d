(** * IDs that come again

    What: renamed by IDs that no two mappers share, events lead to the renamed mappings.
    Idea: to unmap, the first entry with the ID is looked for; it is the MM's own. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements Bookkeeping.
Import ListNotations.
Open Scope Z_scope.

Lemma no_two_holders_incl id p q : incl q p -> no_two_holders id p -> no_two_holders id q.
Proof. intros sub all y z hy hz. apply all; now apply sub. Qed.

Lemma remove_one_rename id m mms rest : no_two_holders id mms -> remove_one m mms = Some rest ->
  remove_one (id m) (map id mms) = Some (map id rest).
Proof.
  intros apart er. assert (hm : In m mms).
  { apply count_pos. rewrite (remove_one_count _ _ _ er). pose proof (count_bounds m rest). lia. }
  revert rest er. induction mms as [|y mms IH]; [easy|]. intros rest. cbn [remove_one map].
  destruct (Z.eqb_spec y m) as [->|ne].
  - intros [= <-]. now rewrite Z.eqb_refl.
  - destruct (remove_one m mms) as [r|] eqn:er; [|easy]. intros [= <-].
    destruct (Z.eqb_spec (id y) (id m)) as [eq|_].
    { elim ne. apply apart; [now left|easy|easy]. }
    rewrite (IH (no_two_holders_incl id _ _ (incl_tl y (incl_refl mms)) apart)) with (rest := r); [easy| |easy].
    destruct hm as [|]; [easy|easy].
Qed.

Lemma remove_one_incl m mms : forall rest, remove_one m mms = Some rest -> incl rest mms.
Proof.
  induction mms as [|y mms IH]; [easy|]. intros rest. cbn [remove_one]. destruct (y =? m).
  - intros [= <-]. apply incl_tl, incl_refl.
  - destruct (remove_one m mms) as [r|]; [|easy]. intros [= <-].
    intros z [<-|hz]; [now left|right]. now apply (IH r eq_refl).
Qed.

Lemma remove_many_rename id m k : forall mms rest, no_two_holders id mms -> remove_many k m mms = Some rest ->
  remove_many k (id m) (map id mms) = Some (map id rest).
Proof.
  induction k as [|k IH]; intros mms rest apart; cbn [remove_many]; [now intros [= <-]|].
  destruct (remove_one m mms) as [r|] eqn:er; [|easy]. intros em.
  rewrite (remove_one_rename _ _ _ _ apart er). apply IH; [|easy].
  exact (no_two_holders_incl id _ _ (remove_one_incl _ _ _ er) apart).
Qed.

Lemma map_repeat (id : Z -> Z) m k : map id (repeat m k) = repeat (id m) k.
Proof. induction k as [|k IH]; [easy|]. cbn. now rewrite IH. Qed.

Lemma step_rename id mms e rest : no_two_holders id mms -> step mms e = Some rest ->
  step (map id mms) (rename id e) = Some (map id rest).
Proof.
  intros apart. unfold step. cbn. destruct (0 <? nr e).
  - intros [= <-]. now rewrite map_app, map_repeat.
  - destruct (nr e <? 0); [|easy]. now apply remove_many_rename.
Qed.

Lemma mappings_rename id es : forall mms rest, always (no_two_holders id) mms es ->
  mappings_from mms es = Some rest -> mappings_from (map id mms) (map (rename id) es) = Some (map id rest).
Proof.
  induction es as [|e es IH]; intros mms rest apart em; cbn in *; [now injection em as <-|].
  destruct apart as [here later]. destruct (step mms e) as [mid|] eqn:e1; [|easy].
  rewrite (step_rename _ _ _ _ here e1). now apply IH.
Qed.

(** What holds always holds in the end. *)
Lemma always_end Q es : forall ids rest, always Q ids es -> mappings_from ids es = Some rest -> Q rest.
Proof.
  induction es as [|e es IH]; intros ids rest [here later] em; cbn in *; [now injection em as <-|].
  destruct (step ids e) as [mid|]; [|easy]. exact (IH mid rest later em).
Qed.

Theorem id_reuse_safe_proved : id_reuse_safe.
Proof.
  intros id es mms apart em. pose proof (always_end _ _ _ _ apart em) as now_apart.
  assert (one : forall x, no_two_holders id (x :: mms) -> (exclusive_to (id x) (map id mms) <-> exclusive_to x mms)).
  { intros x ax. split.
    - intros ex y hy. apply ax; [now right|now left|]. now apply ex, in_map.
    - intros ex y (z & <- & hz)%in_map_iff. now rewrite (ex z hz). }
  split; [exact (mappings_rename id es [] mms apart em)|]. split; [|exact one]. split.
  - intros [i ex]. destruct mms as [|y mms]; [exists 0; intros z []|]. exists y.
    intros z hz. apply now_apart; [easy|now left|]. rewrite (ex (id z)), (ex (id y)); [easy|now left|now apply in_map].
  - intros [x ex]. exists (id x). intros y (z & <- & hz)%in_map_iff. now rewrite (ex z hz).
Qed.

Theorem id_reuse_needs_it_proved : id_reuse_needs_it.
Proof.
  intros id p q ne eq. exists [Ev p 0 1 false; Ev q 0 1 false], [q; p].
  split; [easy|]. split; [|split; [easy|]].
  - intros [x ex]. apply ne. now rewrite (ex p (or_intror (or_introl eq_refl))), (ex q (or_introl eq_refl)).
  - intros y [<-|[<-|[]]]; congruence.
Qed.
