(** * The refuted configurations

    What: a checker of witnesses, proved right, run over Witnesses.v; and the
    posted table's false exclusive, from events to verdict. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Witnesses Statements Bookkeeping.
Import ListNotations.
Open Scope Z_scope.

Definition is_id_check (b id : Z) : bool := (1 <=? id) && (id <? 2^b).

Definition collision_check (t : witness) : bool :=
  let ids := witness_ids t in
  forallb (is_id_check (id_bits t)) (asked t :: ids)
  && (size ids <=? 2 ^ order t)
  && equation (scheme t) (word_bits t) (order t) ids (asked t)
  && existsb (fun id => negb (id =? asked t)) ids.

Lemma is_id_check_spec b l : forallb (is_id_check b) l = true -> Forall (is_id b) l.
Proof.
  rewrite forallb_forall, Forall_forall. intros all id hid.
  specialize (all id hid). unfold is_id_check in all. unfold is_id. lia.
Qed.

Lemma differs_spec x ids : existsb (fun id => negb (id =? x)) ids = true -> ~ exclusive_to x ids.
Proof.
  rewrite existsb_exists. intros (y & hy & ne) ex. rewrite (ex y hy), Z.eqb_refl in ne. discriminate.
Qed.

Lemma collision_check_right t : collision_check t = true -> collision t.
Proof.
  unfold collision_check. rewrite !andb_true_iff. intros [[[ids few] eq] other].
  split; [now apply is_id_check_spec|]. split; [now apply Z.leb_le|].
  split; [exact eq|]. now apply differs_spec.
Qed.

Theorem witnesses_collide_proved : witnesses_collide.
Proof.
  apply Forall_forall. intros t ht. apply collision_check_right. revert t ht.
  apply forallb_forall. vm_compute. reflexivity.
Qed.

(** Each MM of [seventy] maps its pages, in one event. *)
Definition seventy_events : list event := map (fun who => Ev (fst who) 0 (snd who) false) seventy.
Definition seventy_ids : list Z := rev (flat_map (fun who => repeat (fst who) (Z.to_nat (snd who))) seventy).

Theorem posted_refuted_proved : posted_refuted.
Proof.
  intros o ho. exists seventy_events, seventy_ids, 85.
  assert (cases : o = 7 \/ o = 8 \/ o = 9) by lia.
  split; [vm_compute; reflexivity|].
  split; [apply is_id_check_spec; vm_compute; reflexivity|].
  split; [vm_compute; reflexivity|].
  split; [|apply differs_spec; vm_compute; reflexivity].
  destruct cases as [->|[->| ->]]; vm_compute; reflexivity.
Qed.
