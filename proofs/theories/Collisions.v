(** * The refuted configurations

    What: a checker of witnesses, proved right, run over Witnesses.v; and the
    posted table's false exclusive, from events to verdict. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Witnesses Statements Bookkeeping.
Import ListNotations.
Open Scope Z_scope.

Definition is_id_check (b id : Z) : bool := (1 <=? id) && (id <? 2^b).

Lemma is_id_check_spec b l : forallb (is_id_check b) l = true -> Forall (is_id b) l.
Proof.
  rewrite forallb_forall, Forall_forall. intros all id hid.
  specialize (all id hid). unfold is_id_check in all. unfold is_id. lia.
Qed.

Lemma differs_spec x ids : existsb (fun id => negb (id =? x)) ids = true -> ~ exclusive_to x ids.
Proof.
  rewrite existsb_exists. intros (y & hy & ne) ex. rewrite (ex y hy), Z.eqb_refl in ne. discriminate.
Qed.

(** ** A witness says "65534 mappings" in one entry, so the checker adds by entries, not by
    mappings: a few multiplications, which [coqchk] does without a virtual machine too. *)

Definition weighed (f : Z -> Z) (who : list (Z * Z)) : Z :=
  fold_right (fun p rest => Z.max 0 (snd p) * f (fst p) + rest) 0 who.

Lemma no_pages k : k <= 0 -> Z.to_nat k = O.
Proof. lia. Qed.

Definition mappings_of (who : list (Z * Z)) : list Z :=
  flat_map (fun p => repeat (fst p) (Z.to_nat (snd p))) who.

Lemma sum_weighed f who : sum f (mappings_of who) = weighed f who.
Proof.
  induction who as [|[id k] who IH]; [easy|]. unfold mappings_of in *. cbn [flat_map fst snd weighed fold_right].
  rewrite sum_app, sum_repeat, IH. f_equal. lia.
Qed.

Lemma size_weighed who : size (mappings_of who) = weighed (fun _ => 1) who.
Proof. rewrite <- sum_one. apply sum_weighed. Qed.

(** [equation], told the sums. *)
Definition equation_of (who : list (Z * Z)) (s : linear) (w o x : Z) : bool :=
  let total f := weighed f who in
  let n := total (fun _ => 1) in
  let equal addends := all_same (2^w) n (map total addends) addends x in
  match s with
  | Generations base B K => equal (subids base B K)
  | Bits b => equal (bit_values b)
  | Moments => same (2^w) (spread n (total (fun id => id)) (total square) x) 0
  | OneValue a c => equal [one_value o a c]
  | Packed f => same (2^(w - f)) (total (fun id => id)) (n * x) && equal [square]
  | Table values table => equal (map (look_up table) (seq 0 values))
  end.

Lemma map_weighed who addends : map (fun a => sum a (mappings_of who)) addends = map (fun a => weighed a who) addends.
Proof. apply map_ext. intros a. apply sum_weighed. Qed.

Lemma equation_of_right who s w o x : equation s w o (mappings_of who) x = equation_of who s w o x.
Proof.
  unfold equation, equation_of.
  destruct s; cbn zeta; rewrite ?size_weighed, ?map_weighed, ?sum_weighed; reflexivity.
Qed.

Definition collision_check (t : witness) : bool :=
  let who := mapped t in
  forallb (is_id_check (id_bits t)) (asked t :: map fst who)
  && (weighed (fun _ => 1) who <=? 2 ^ order t)
  && equation_of who (scheme t) (word_bits t) (order t) (asked t)
  && existsb (fun p => (0 <? snd p) && negb (fst p =? asked t)) who.

Lemma in_mappings_of id who : In id (mappings_of who) <-> exists k, In (id, k) who /\ 0 < k.
Proof.
  unfold mappings_of. rewrite in_flat_map. split.
  - intros ([i k] & hp & hr). cbn in hr. pose proof (repeat_spec _ _ _ hr) as ->. exists k. split; [easy|].
    destruct (Z.leb_spec k 0) as [none|]; [|easy]. rewrite no_pages in hr by easy. destruct hr.
  - intros (k & hp & pos). exists (id, k). split; [easy|]. cbn.
    destruct (Z.to_nat k) eqn:eq; [lia|]. now left.
Qed.

Lemma collision_check_right t : collision_check t = true -> collision t.
Proof.
  unfold collision_check, collision. rewrite !andb_true_iff. intros [[[ids few] eq] other].
  change (witness_ids t) with (mappings_of (mapped t)).
  apply is_id_check_spec in ids. apply Forall_cons_iff in ids as [hx ids].
  split; [|split; [|split]].
  - constructor; [easy|]. apply Forall_forall. intros id (k & hp & _)%in_mappings_of.
    rewrite Forall_forall in ids. apply ids, in_map_iff. now exists (id, k).
  - rewrite size_weighed. now apply Z.leb_le.
  - now rewrite equation_of_right.
  - apply existsb_exists in other as ([id k] & hp & hc). cbn in hc. apply andb_true_iff in hc as [pos ne].
    intros ex. rewrite (ex id), Z.eqb_refl in ne; [easy|]. apply in_mappings_of. exists k. split; [easy|lia].
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
