(** * What the program does are moves

    What: [plays_are_runs].
    Idea: each function follows the relation it stands for, page by page. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements System Isolation Play.
Import ListNotations.
Open Scope Z_scope.

Lemma cut_spec s vs before v after : cut s vs = Some (before, v, after) -> vs = before ++ v :: after /\ s v = true.
Proof.
  revert before. induction vs as [|u vs IH]; [easy|]. cbn. intros before. destruct (s u) eqn:su.
  - intros [= <- <- <-]. now split.
  - destruct (cut s vs) as [[[b t] a]|]; [|easy]. intros [= <- <- <-]. destruct (IH b eq_refl) as [-> ->]. now split.
Qed.

Lemma held_by_spec m f p pin v : held_by m f p pin v = true -> folio_of v = f /\ page_of v = p /\ owner_of v = m /\ pinned v = pin.
Proof.
  unfold held_by. intros [[here%on_page_spec own%Z.eqb_eq]%andb_true_iff same%eqb_prop]%andb_true_iff. tauto.
Qed.

Lemma touches_batch m f x k : forall p vs c vs' c', touches m f p x k vs c = Some (vs', c') ->
  batch (touch m f) p (vs, c) (vs', c') (Z.of_nat k).
Proof.
  induction k as [|k IH]; intros p vs c vs' c' run; cbn [touches] in run.
  - injection run as <- <-. constructor.
  - destruct (existsb (on_page f p) vs) eqn:none; [easy|]. rewrite Nat2Z.inj_succ. unfold Z.succ. refine (Another _ _ _ _ _ _ _ (IH _ _ _ _ _ run)).
    constructor. intros v hv. destruct (on_page f p v) eqn:here; [|easy]. rewrite <- none. symmetry. apply existsb_exists. now exists v.
Qed.

Lemma copies_batch parent child f k : forall p vs vs', copies parent child f p k vs = Some vs' ->
  batch (copy child f) p vs vs' (Z.of_nat k).
Proof.
  induction k as [|k IH]; intros p vs vs' run; cbn [copies] in run.
  - injection run as <-. constructor.
  - destruct (cut _ vs) as [[[b v] a]|] eqn:at_; [|easy]. apply cut_spec in at_ as [eq (fv & pv & _ & nv)%held_by_spec].
    rewrite Nat2Z.inj_succ. unfold Z.succ. refine (Another _ _ _ _ _ _ _ (IH _ _ _ run)). constructor; try easy. rewrite eq. apply in_elt.
Qed.

Lemma drops_batch m f k : forall p vs vs', drops m f p k vs = Some vs' -> batch (drop m f) p vs vs' (Z.of_nat k).
Proof.
  induction k as [|k IH]; intros p vs vs' run; cbn [drops] in run.
  - injection run as <-. constructor.
  - destruct (cut _ vs) as [[[b v] a]|] eqn:at_; [|easy]. apply cut_spec in at_ as [-> (fv & pv & ov & nv)%held_by_spec].
    rewrite Nat2Z.inj_succ. unfold Z.succ. refine (Another _ _ _ _ _ _ _ (IH _ _ _ run)). now constructor.
Qed.

Definition runs_on (j : judge) (w w' : world) : Prop := reachable anything j w -> reachable anything j w'.

Lemma one_move j w w' : move j w w' -> runs_on j w w'.
Proof. intros m r. exact (Next anything j w w' r (fun _ => I) m). Qed.

Lemma mapped_in_runs j m f p k x w w' : 1 <= m -> (1 <= k)%nat -> mapped_in m f p k x w = Some w' -> runs_on j w w'.
Proof.
  intros hm hk run. unfold mapped_in in run. destruct (touches _ _ _ _ _ _ _) as [[vs c]|] eqn:t; [|easy]. injection run as <-.
  apply touches_batch in t. apply one_move, Touch; [easy|lia|easy].
Qed.

Lemma unmapped_runs j m f p k w w' : (1 <= k)%nat -> unmapped m f p k w = Some w' -> runs_on j w w'.
Proof.
  intros hk run. unfold unmapped in run. destruct (drops _ _ _ _ _) as [vs|] eqn:d; [|easy]. injection run as <-.
  apply drops_batch in d. apply one_move, Unmap; [lia|easy].
Qed.

Lemma keeps_spec j w v : keeps j w v = true -> writable v = true \/ reuse j w v.
Proof.
  unfold keeps, reuse. intros [|yes]%orb_true_iff; [now left|right]. destruct (says _ _ _); [|easy..]. split; [easy|now apply Z.eqb_eq].
Qed.

Lemma perform_runs j w what w' : perform j w what = Some w' -> runs_on j w w'.
Proof.
  destruct what as [m f p k x|parent child f p k|m f p k|m f p|m f p|f k|m f p x elsewhere]; cbn [perform]; intros run.
  - destruct ((1 <=? m) && (1 <=? k)%nat) eqn:ok; [|easy]. apply andb_true_iff in ok as [hm%Z.leb_le hk%Nat.leb_le].
    now apply (mapped_in_runs j m f p k x).
  - destruct ((1 <=? child) && (1 <=? k)%nat) eqn:ok; [|easy]. apply andb_true_iff in ok as [hm%Z.leb_le hk%Nat.leb_le].
    destruct (copies _ _ _ _ _ _) as [vs|] eqn:c; [|easy]. injection run as <-. apply copies_batch in c. apply one_move, Share; [easy|lia|easy].
  - destruct (1 <=? k)%nat eqn:hk; [|easy]. apply Nat.leb_le in hk. now apply (unmapped_runs j m f p k).
  - destruct (cut _ _) as [[[b v] a]|] eqn:at_; [|easy]. apply cut_spec in at_ as [eq (_ & _ & _ & nv)%held_by_spec]. injection run as <-.
    apply one_move, Pin; [rewrite eq; apply in_elt|easy].
  - destruct (cut _ _) as [[[b v] a]|] eqn:at_; [|easy]. apply cut_spec in at_ as [eq (_ & _ & _ & nv)%held_by_spec]. injection run as <-.
    apply one_move, (Unpin j w b v a); easy.
  - destruct (0 <=? k) eqn:hk; [|easy]. apply Z.leb_le in hk. injection run as <-. now apply one_move, Hold.
  - destruct (cut _ _) as [[[b v] a]|] eqn:at_; [|easy]. apply cut_spec in at_ as [eq (_ & _ & _ & nv)%held_by_spec].
    destruct (keeps j w v) eqn:how.
    + injection run as <-. apply one_move, Write; [rewrite eq; apply in_elt|easy|now apply keeps_spec].
    + destruct (1 <=? m) eqn:hm; [|easy]. apply Z.leb_le in hm. destruct (unmapped m f p 1 w) as [w1|] eqn:gone; [|easy].
      intros r. apply (mapped_in_runs j m elsewhere 0 1 x w1 w' hm (le_n 1) run). exact (unmapped_runs j m f p 1 w w1 (le_n 1) gone r).
Qed.

Theorem plays_are_runs_proved : plays_are_runs.
Proof.
  intros j program. enough (all : forall w w', play j w program = Some w' -> runs_on j w w') by (intros w run; apply (all _ _ run), Start).
  induction program as [|what rest IH]; intros w w' run; cbn [play] in run; [injection run as <-; now intros r|].
  destruct (perform j w what) as [w1|] eqn:p; [|easy]. intros r. exact (IH w1 w' run (perform_runs j w what w1 p r)).
Qed.
