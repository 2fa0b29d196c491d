(** * Anybody's steps between anybody's

    What: the invariant of every state that steps reach.
    Idea: who reads the references while they equal the mapcount, and nobody was in a section since the scheme was asked, has seen a
    moment at which every holder was counted, so was the asker's. From then on only a holder of the page makes another one, and its
    page table's lock is the fault's. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements System Bookkeeping Linear Values MmId Counters MomentsFlag Reuse Isolation IsolationSchemes Interleaved Saturation.
Import ListNotations.
Open Scope Z_scope.

(** ** Counting holders *)

Definition num (s : holder -> bool) (hs : list holder) : Z := Z.of_nat (length (filter s hs)).
Definition maps_as (m : Z) (h : holder) : bool := counted h && (mm_of h =? m).

Lemma num_cons s h hs : num s (h :: hs) = (if s h then 1 else 0) + num s hs.
Proof. unfold num. cbn. destruct (s h); cbn [length]; lia. Qed.

Lemma num_mid s l h r : num s (l ++ h :: r) = (if s h then 1 else 0) + num s (l ++ r).
Proof. unfold num. rewrite !filter_app, !app_length. cbn. destruct (s h); cbn [length]; lia. Qed.

Lemma num_map s g hs : (forall h, s (g h) = s h) -> num s (map g hs) = num s hs.
Proof. intros same. induction hs as [|h hs IH]; [easy|]. cbn [map]. now rewrite !num_cons, same, IH. Qed.

Lemma num_bounds s hs : 0 <= num s hs <= Z.of_nat (length hs).
Proof. induction hs as [|h hs IH]; [easy|]. rewrite num_cons. cbn [length]. destruct (s h); lia. Qed.

Lemma num_all s hs : num s hs = Z.of_nat (length hs) -> forall h, In h hs -> s h = true.
Proof.
  induction hs as [|g hs IH]; [easy|]. rewrite num_cons. cbn [length]. pose proof (num_bounds s hs).
  intros all h [<-|hh]; [|apply IH; [|easy]]; destruct (s g) eqn:sg; lia || easy.
Qed.

Lemma num_pos s h hs : In h hs -> s h = true -> 0 < num s hs.
Proof.
  intros hh hs1. apply in_split in hh as (l & r & ->). rewrite num_mid, hs1. pose proof (num_bounds s (l ++ r)). lia.
Qed.

Lemma in_mid {A} (u h : A) l r : In u (l ++ h :: r) <-> u = h \/ In u (l ++ r).
Proof. rewrite !in_app_iff. cbn. intuition congruence. Qed.

(** ** What holds of holders and contents *)

Definition unseen (h : holder) : Prop := in_phase h = Referenced \/ in_phase h = Counted.

Definition clean (hs : list holder) (c : Z -> Z) : Prop := forall h, In h hs -> coming h = false -> c (page_at h) = expects h.

(** Who may write a page is alone on it, but for holders that cannot see it yet. *)
Definition lone (hs : list holder) : Prop := forall u z, In u hs -> In z hs -> can_write z = true -> page_at u = page_at z ->
  unseen u \/ (coming u = false /\ mm_of u = mm_of z).

(** Who comes is alone with others that come, or is a child whose parent's entry stands. *)
Definition rooted (hs : list holder) : Prop := forall u, In u hs -> coming u = true ->
  (parent u = mm_of u /\ forall h, In h hs -> page_at h = page_at u -> coming h = true) \/
  (parent u <> mm_of u /\ exists h, In h hs /\ in_phase h = Mapped /\ mm_of h = parent u /\ page_at h = page_at u).

Definition shape (hs : list holder) (c : Z -> Z) : Prop :=
  clean hs c /\ lone hs /\ rooted hs /\ forall h, In h hs -> 1 <= mm_of h.

Lemma unseen_coming h : unseen h -> coming h = true.
Proof. unfold coming. intros [-> | ->]; easy. Qed.

Lemma mapped_here h : in_phase h = Mapped -> coming h = false /\ counted h = true.
Proof. unfold coming, counted. now intros ->. Qed.

(** A holder moves on within coming, or within there and going; an entry that goes has no child under way, and a page that is to
    be seen no writer. *)
Lemma shape_moves l h h' r c : mm_of h' = mm_of h -> page_at h' = page_at h -> parent h' = parent h ->
  can_write h' = can_write h -> expects h' = expects h -> coming h' = coming h ->
  (unseen h -> unseen h') \/ (forall z, In z (l ++ h :: r) -> page_at z = page_at h -> can_write z = false) ->
  (in_phase h = Mapped -> in_phase h' <> Mapped ->
    forall u, In u (l ++ h :: r) -> coming u = true -> page_at u = page_at h -> parent u <> mm_of h) ->
  shape (l ++ h :: r) c -> shape (l ++ h' :: r) c.
Proof.
  intros em ep ea ew ex ec eu child (cl & lo & ro & re).
  assert (back : forall u, In u (l ++ h' :: r) -> exists v, In v (l ++ h :: r) /\ mm_of v = mm_of u /\ page_at v = page_at u /\
    parent v = parent u /\ can_write v = can_write u /\ expects v = expects u /\ coming v = coming u /\
    ((unseen v -> unseen u) \/ forall z, In z (l ++ h :: r) -> page_at z = page_at u -> can_write z = false)).
  { intros u hu. apply in_mid in hu as [->|hu]; [exists h|exists u]; (split; [apply in_mid; tauto|]); repeat split; try congruence.
    - rewrite ep. exact eu.
    - now left. }
  split; [|split; [|split]].
  - intros u hu cu. destruct (back u hu) as (v & hv & _ & pv & _ & _ & xv & cv & _). rewrite <- pv, <- xv. apply cl; congruence.
  - intros u z hu hz wz puz. destruct (back u hu) as (v & hv & mv & pv & _ & _ & _ & cv & uv).
    destruct (back z hz) as (y & hy & my & py & _ & wy & _). rewrite <- cv, <- mv, <- my.
    destruct uv as [uv|uv]; [|rewrite (uv y hy ltac:(congruence)) in wy; congruence].
    destruct (lo v y hv hy ltac:(congruence) ltac:(congruence)); auto.
  - intros u hu cu. destruct (back u hu) as (v & hv & mv & pv & av & _ & _ & cv & _). rewrite <- mv, <- av, <- pv.
    destruct (ro v hv ltac:(congruence)) as [[pm all]|[pm (g & hg & fg & mg & pg)]]; [left|right]; (split; [easy|]).
    + intros g hg pg. destruct (back g hg) as (y & hy & _ & py & _ & _ & _ & cy & _). rewrite <- cy. apply all; congruence.
    + apply in_mid in hg as [->|hg].
      * assert (is : in_phase h' = Mapped -> exists g, In g (l ++ h' :: r) /\ in_phase g = Mapped /\ mm_of g = parent v /\ page_at g = page_at v)
          by (intros fm; exists h'; split; [apply in_mid; now left|repeat split; congruence]).
        destruct (in_phase h') eqn:ph; try (now apply is);
          elim (child fg ltac:(congruence) v hv ltac:(congruence) ltac:(congruence)); congruence.
      * exists g. split; [apply in_mid; now right|easy].
  - intros u hu. destruct (back u hu) as (v & hv & <- & _). auto.
Qed.

(** All holders change in what they may write or expect only. *)
Lemma rooted_map g hs : (forall h, mm_of (g h) = mm_of h /\ page_at (g h) = page_at h /\ parent (g h) = parent h /\ in_phase (g h) = in_phase h) ->
  rooted hs -> rooted (map g hs).
Proof.
  intros same ro u (v & <- & hv)%in_map_iff cu. destruct (same v) as (mv & pv & av & fv).
  unfold coming in cu. rewrite fv in cu. rewrite mv, pv, av.
  destruct (ro v hv cu) as [[pm all]|[pm (h & hh & fh & mh & ph)]]; [left|right]; (split; [easy|]).
  - intros z (y & <- & hy)%in_map_iff py. destruct (same y) as (_ & ey & _ & fy). unfold coming. rewrite fy. apply all; congruence.
  - exists (g h). destruct (same h) as (m1 & p1 & _ & f1). split; [now apply in_map|]. repeat split; congruence.
Qed.

Lemma shield_same p h : mm_of (shield p h) = mm_of h /\ page_at (shield p h) = page_at h /\ parent (shield p h) = parent h /\
  in_phase (shield p h) = in_phase h.
Proof. unfold shield. now destruct (page_at h =? p). Qed.

Lemma wrote_same m p x h : mm_of (wrote m p x h) = mm_of h /\ page_at (wrote m p x h) = page_at h /\ parent (wrote m p x h) = parent h /\
  in_phase (wrote m p x h) = in_phase h.
Proof. unfold wrote. now destruct (_ && _). Qed.

Lemma shape_shielded p hs c : shape hs c -> shape (map (shield p) hs) c /\
  forall h, In h (map (shield p) hs) -> page_at h = p -> can_write h = false.
Proof.
  intros (cl & lo & ro & re).
  assert (off : forall h, page_at (shield p h) = p -> can_write (shield p h) = false).
  { intros h. unfold shield. destruct (Z.eqb_spec (page_at h) p) as [|ne]; [easy|]. congruence. }
  split; [split; [|split; [|split]]|].
  - intros u (v & <- & hv)%in_map_iff cu. destruct (shield_same p v) as (_ & pv & _ & fv). unfold coming in cu. rewrite fv in cu.
    rewrite pv, (cl v hv cu). unfold shield. now destruct (page_at v =? p).
  - intros u z (v & <- & hv)%in_map_iff (y & <- & hy)%in_map_iff wz puz.
    destruct (shield_same p v) as (mv & pv & _ & fv), (shield_same p y) as (my & py & _ & _).
    unfold unseen, coming. rewrite fv, mv, my. apply lo; [easy|easy| |congruence].
    unfold shield in wz. now destruct (page_at y =? p).
  - apply rooted_map; [apply shield_same|easy].
  - intros u (v & <- & hv)%in_map_iff. destruct (shield_same p v) as (-> & _). auto.
  - intros h (v & <- & hv)%in_map_iff. apply off.
Qed.

Lemma shape_written h x hs c : shape hs c -> In h hs -> coming h = false -> can_write h = true ->
  shape (map (wrote (mm_of h) (page_at h) x) hs) (fun q => if q =? page_at h then x else c q).
Proof.
  intros (cl & lo & ro & re) hh ch wh. set (g := wrote (mm_of h) (page_at h) x).
  split; [|split; [|split]].
  - intros u (v & <- & hv)%in_map_iff cu. destruct (wrote_same (mm_of h) (page_at h) x v) as (_ & pv & _ & fv). fold g in pv, fv.
    unfold coming in cu. rewrite fv in cu. rewrite pv. unfold g, wrote. destruct (Z.eqb_spec (page_at v) (page_at h)) as [eq|ne]; cbn.
    + destruct (lo v h hv hh wh eq) as [un%unseen_coming|[_ ->]]; [unfold coming in un; congruence|]. now rewrite Z.eqb_refl.
    + now apply cl.
  - intros u z (v & <- & hv)%in_map_iff (y & <- & hy)%in_map_iff wz puz.
    destruct (wrote_same (mm_of h) (page_at h) x v) as (mv & pv & _ & fv), (wrote_same (mm_of h) (page_at h) x y) as (my & py & _ & _).
    fold g in mv, pv, fv, my, py |- *. unfold unseen, coming. rewrite fv, mv, my. apply lo; [easy|easy| |congruence].
    unfold g, wrote in wz. now destruct (_ && _).
  - apply rooted_map; [apply wrote_same|easy].
  - intros u (v & <- & hv)%in_map_iff. destruct (wrote_same (mm_of h) (page_at h) x v) as (mv & _). fold g in mv. rewrite mv. auto.
Qed.

(** A child's entry is made. *)
Lemma shape_child l h r c : in_phase h = Protected -> parent h <> mm_of h -> shape (l ++ h :: r) c ->
  shape (l ++ Holder (mm_of h) (page_at h) Mapped (parent h) false (c (page_at h)) :: r) c.
Proof.
  intros fh ph (cl & lo & ro & re). set (h' := Holder _ _ _ _ _ _).
  assert (ch : coming h = true) by (unfold coming; now rewrite fh).
  assert (hin : In h (l ++ h :: r)) by (apply in_mid; now left).
  destruct (ro h hin ch) as [[eq _]|[_ (g & hg & fg & mg & pg)]]; [easy|].
  assert (hg' : In g (l ++ r)) by (apply in_mid in hg as [->|]; [congruence|easy]).
  split; [|split; [|split]].
  - intros u hu cu. apply in_mid in hu as [->|hu]; [easy|]. apply cl; [apply in_mid; now right|easy].
  - intros u z hu hz wz puz. apply in_mid in hz as [->|hz]; [easy|].
    assert (hz' : In z (l ++ h :: r)) by (apply in_mid; now right). apply in_mid in hu as [->|hu].
    + destruct (lo h z hin hz' wz puz) as [[e|e]|[e _]]; congruence.
    + apply lo; [apply in_mid; now right|easy..].
  - intros u hu cu. apply in_mid in hu as [->|hu]; [easy|].
    destruct (ro u ltac:(apply in_mid; now right) cu) as [[pm all]|[pm (y & hy & fy & my & py)]].
    + left. split; [easy|]. intros z hz pz. apply in_mid in hz as [->|hz]; [|apply all; [apply in_mid; now right|easy]].
      cbn in pz. assert (coming g = true) by (apply all; [easy|congruence]). now rewrite (proj1 (mapped_here g fg)) in H.
    + right. split; [easy|]. exists y. split; [apply in_mid; right|easy]. apply in_mid in hy as [->|]; [congruence|easy].
  - intros u hu. apply in_mid in hu as [->|hu]; [exact (re h hin)|apply re, in_mid; now right].
Qed.

(** A new page's entry is made. *)
Lemma shape_first l h r c x : in_phase h = Protected -> (forall u, In u (l ++ r) -> page_at u <> page_at h) ->
  shape (l ++ h :: r) c ->
  shape (l ++ Holder (mm_of h) (page_at h) Mapped (parent h) true x :: r) (fun q => if q =? page_at h then x else c q).
Proof.
  intros fh none (cl & lo & ro & re). set (h' := Holder _ _ _ _ _ _).
  split; [|split; [|split]].
  - intros u hu cu. apply in_mid in hu as [->|hu]; [cbn; now rewrite Z.eqb_refl|].
    rewrite (proj2 (Z.eqb_neq _ _) (none u hu)). apply cl; [apply in_mid; now right|easy].
  - intros u z hu hz wz puz. apply in_mid in hu as [->|hu], hz as [->|hz].
    + now right.
    + elim (none z hz). now rewrite <- puz.
    + elim (none u hu). exact puz.
    + apply lo; [apply in_mid; now right..|easy|easy].
  - intros u hu cu. apply in_mid in hu as [->|hu]; [easy|].
    destruct (ro u ltac:(apply in_mid; now right) cu) as [[pm all]|[pm (y & hy & fy & my & py)]]; [left|right]; (split; [easy|]).
    + intros z hz pz. apply in_mid in hz as [->|hz]; [|apply all; [apply in_mid; now right|easy]]. elim (none u hu). now rewrite <- pz.
    + exists y. split; [apply in_mid; right|easy]. apply in_mid in hy as [->|]; [congruence|easy].
  - intros u hu. apply in_mid in hu as [->|hu]; [apply (re h), in_mid; now left|apply re, in_mid; now right].
Qed.

Lemma shape_gone l h r c : coming h = false -> in_phase h <> Mapped -> shape (l ++ h :: r) c -> shape (l ++ r) c.
Proof.
  intros ch fh (cl & lo & ro & re).
  assert (sub : forall u, In u (l ++ r) -> In u (l ++ h :: r)) by (intros u hu; apply in_mid; now right).
  split; [|split; [|split]]; auto.
  - intros u hu. apply cl. auto.
  - intros u z hu hz. apply lo; auto.
  - intros u hu cu. destruct (ro u (sub u hu) cu) as [[pm all]|[pm (y & hy & fy & rest)]]; [left|right]; (split; [easy|]).
    + auto.
    + exists y. split; [|easy]. apply in_mid in hy as [->|]; easy.
Qed.

Lemma shape_pin h hs c : In h hs -> in_phase h = Mapped -> shape hs c ->
  shape (Holder (mm_of h) (page_at h) Pinned (mm_of h) false (expects h) :: hs) c.
Proof.
  intros hh fh (cl & lo & ro & re). destruct (mapped_here h fh) as [ch _]. split; [|split; [|split]].
  - intros u [<-|hu] cu; [exact (cl h hh ch)|now apply cl].
  - intros u z [<-|hu] [<-|hz] wz puz; try easy; [|now apply lo]. right. split; [easy|].
    destruct (lo h z hh hz wz puz) as [un%unseen_coming|[_ ?]]; [congruence|easy].
  - intros u [<-|hu] cu; [easy|]. destruct (ro u hu cu) as [[pm all]|[pm (y & hy & rest)]]; [left|right]; (split; [easy|]).
    + intros z [<-|hz] pz; [|now apply all]. rewrite (all h hh pz) in ch. easy.
    + exists y. split; [now right|easy].
  - intros u [<-|hu]; [now apply (re h)|auto].
Qed.

Lemma shape_touch m p hs c : 1 <= m -> (forall h, In h hs -> page_at h <> p) -> shape hs c ->
  shape (Holder m p Referenced m false 0 :: hs) c.
Proof.
  intros hm none (cl & lo & ro & re). split; [|split; [|split]].
  - intros u [<-|hu]; [easy|now apply cl].
  - intros u z [<-|hu] [<-|hz] wz puz; try easy; [|now apply lo]. left. now left.
  - intros u [<-|hu] cu.
    + left. split; [easy|]. intros h [<-|hh] ph; [easy|]. now elim (none h hh).
    + destruct (ro u hu cu) as [[pm all]|[pm (y & hy & rest)]]; [left|right]; (split; [easy|]).
      * intros z [<-|hz] pz; [easy|now apply all].
      * exists y. split; [now right|easy].
  - intros u [<-|hu]; auto.
Qed.

Lemma shape_fork h child hs c : In h hs -> in_phase h = Mapped -> 1 <= child -> child <> mm_of h -> shape hs c ->
  shape (Holder child (page_at h) Referenced (mm_of h) false 0 :: hs) c.
Proof.
  intros hh fh hc ne (cl & lo & ro & re). destruct (mapped_here h fh) as [ch _]. split; [|split; [|split]].
  - intros u [<-|hu]; [easy|now apply cl].
  - intros u z [<-|hu] [<-|hz] wz puz; try easy; [|now apply lo]. left. now left.
  - intros u [<-|hu] cu.
    + right. split; [cbn; congruence|]. exists h. split; [now right|easy].
    + destruct (ro u hu cu) as [[pm all]|[pm (y & hy & rest)]]; [left|right]; (split; [easy|]).
      * intros z [<-|hz] pz; [|now apply all]. easy.
      * exists y. split; [now right|easy].
  - intros u [<-|hu]; auto.
Qed.

(** Where all who hold the page are the fault's own and nobody comes, its entry may become writable. *)
Lemma shape_kept l h r c : in_phase h = Mapped ->
  (forall u, In u (l ++ h :: r) -> page_at u = page_at h -> mm_of u = mm_of h) ->
  (forall u, In u (l ++ h :: r) -> coming u = true -> page_at u = page_at h -> parent u <> mm_of h) ->
  shape (l ++ h :: r) c -> shape (l ++ Holder (mm_of h) (page_at h) Mapped (parent h) true (expects h) :: r) c.
Proof.
  intros fh mine child (cl & lo & ro & re). set (h' := Holder _ _ _ _ _ _). destruct (mapped_here h fh) as [ch _].
  assert (hin : In h (l ++ h :: r)) by (apply in_mid; now left).
  assert (sub : forall u, In u (l ++ r) -> In u (l ++ h :: r)) by (intros u hu; apply in_mid; now right).
  assert (there : forall u, In u (l ++ h :: r) -> page_at u = page_at h -> coming u = false).
  { intros u hu pu. destruct (coming u) eqn:cu; [exfalso|easy]. destruct (ro u hu cu) as [[_ all]|[_ (y & hy & _ & my & py)]].
    - rewrite (all h hin (eq_sym pu)) in ch. easy.
    - apply (child u hu cu pu). rewrite <- my. apply mine; congruence. }
  split; [|split; [|split]].
  - intros u hu cu. apply in_mid in hu as [->|hu]; [exact (cl h hin ch)|auto].
  - intros u z hu hz wz puz.
    assert (hu' : exists v, In v (l ++ h :: r) /\ page_at v = page_at u /\ mm_of v = mm_of u /\ coming v = coming u /\ (unseen v -> unseen u)).
    { apply in_mid in hu as [->|hu]; [exists h|exists u]; (split; [auto|]); repeat split; try easy. intros un%unseen_coming. congruence. }
    destruct hu' as (v & hv & pv & mv & cv & uv). rewrite <- mv, <- cv. apply in_mid in hz as [->|hz].
    + right. cbn in puz |- *. split; [apply there|apply mine]; congruence.
    + destruct (lo v z hv (sub z hz) wz ltac:(congruence)); auto.
  - intros u hu cu. apply in_mid in hu as [->|hu]; [easy|]. destruct (ro u (sub u hu) cu) as [[pm all]|[pm (y & hy & fy & my & py)]].
    + left. split; [easy|]. intros z hz pz. apply in_mid in hz as [->|hz]; [|auto]. rewrite (all h hin pz) in ch. easy.
    + right. split; [easy|]. apply in_mid in hy as [->|hy]; [exists h'|exists y]; (split; [apply in_mid; tauto|easy]).
  - intros u hu. apply in_mid in hu as [->|hu]; [exact (re h hin)|auto].
Qed.

(** ** Faults *)

Definition mine (hs : list holder) (f : fault) : Prop := forall u, In u hs -> page_at u = fault_page f -> mm_of u = fault_mm f.

(** A fault's own entry stands, and has no child under way. *)
Definition locked (hs : list holder) (f : fault) : Prop :=
  (exists h, In h hs /\ in_phase h = Mapped /\ mm_of h = fault_mm f /\ page_at h = fault_page f) /\
  (forall u, In u hs -> coming u = true -> page_at u = fault_page f -> parent u <> fault_mm f).

(** Every holder was one of the same MM, page and, if it comes, parent. *)
Definition from_old (hs hs' : list holder) : Prop := forall u, In u hs' -> exists v, In v hs /\
  mm_of v = mm_of u /\ page_at v = page_at u /\ (coming u = true -> coming v = true /\ parent v = parent u).

Lemma mine_old hs hs' f : from_old hs hs' -> mine hs f -> mine hs' f.
Proof. intros old all u hu pu. destruct (old u hu) as (v & hv & mv & pv & _). rewrite <- mv. apply all; congruence. Qed.

Lemma locked_old hs hs' f : from_old hs hs' ->
  (forall h, In h hs -> in_phase h = Mapped -> mm_of h = fault_mm f -> page_at h = fault_page f ->
    exists g, In g hs' /\ in_phase g = Mapped /\ mm_of g = mm_of h /\ page_at g = page_at h) ->
  locked hs f -> locked hs' f.
Proof.
  intros old keep [(h & hh & fh & mh & ph) child]. split.
  - destruct (keep h hh fh mh ph) as (g & hg & fg & mg & pg). exists g. repeat split; congruence.
  - intros u hu cu pu. destruct (old u hu) as (v & hv & _ & pv & cv). destruct (cv cu) as [c1 p1]. rewrite <- p1.
    apply child; congruence.
Qed.

Lemma from_old_refl hs : from_old hs hs.
Proof. intros u hu. now exists u. Qed.

Lemma from_old_mid l h h' r : mm_of h' = mm_of h -> page_at h' = page_at h -> parent h' = parent h ->
  (coming h' = true -> coming h = true) -> from_old (l ++ h :: r) (l ++ h' :: r).
Proof.
  intros em ep ea ec u hu. apply in_mid in hu as [->|hu]; [exists h|exists u]; (split; [apply in_mid; tauto|]); repeat split; auto.
Qed.

Lemma from_old_map g hs : (forall h, mm_of (g h) = mm_of h /\ page_at (g h) = page_at h /\ parent (g h) = parent h /\ in_phase (g h) = in_phase h) ->
  from_old hs (map g hs).
Proof.
  intros same u (v & <- & hv)%in_map_iff. exists v. destruct (same v) as (-> & -> & -> & fv). unfold coming. rewrite fv. now repeat split.
Qed.

Lemma from_old_trans a b c : from_old a b -> from_old b c -> from_old a c.
Proof.
  intros p q u hu. destruct (q u hu) as (v & hv & mv & pv & cv). destruct (p v hv) as (y & hy & my & py & cy).
  exists y. split; [easy|]. split; [congruence|]. split; [congruence|]. intros cu. destruct (cv cu) as [c1 p1].
  destruct (cy c1). split; [easy|congruence].
Qed.

Lemma locked_mid l h h' r f : mm_of h' = mm_of h -> page_at h' = page_at h -> parent h' = parent h ->
  (coming h' = true -> coming h = true) ->
  (in_phase h = Mapped -> in_phase h' = Mapped \/ ~ (mm_of h = fault_mm f /\ page_at h = fault_page f)) ->
  locked (l ++ h :: r) f -> locked (l ++ h' :: r) f.
Proof.
  intros em ep ea ec stays. apply locked_old; [now apply from_old_mid|].
  intros g hg fg mg pg. apply in_mid in hg as [->|hg].
  - destruct (stays fg) as [f'|away]; [|now elim away]. exists h'. split; [apply in_mid; now left|easy].
  - exists g. split; [apply in_mid; now right|easy].
Qed.

Lemma locked_map g hs f : (forall h, mm_of (g h) = mm_of h /\ page_at (g h) = page_at h /\ parent (g h) = parent h /\ in_phase (g h) = in_phase h) ->
  locked hs f -> locked (map g hs) f.
Proof.
  intros same. apply locked_old; [now apply from_old_map|]. intros h hh fh _ _. exists (g h).
  destruct (same h) as (-> & -> & _ & ->). split; [now apply in_map|easy].
Qed.

(** ** The whole *)

Definition opened (w : state) : nat := match section w with Some _ => 1 | None => 0 end.
Definition lacking (w : state) : Z := match section w with Some d => d | None => 0 end.

Definition tracked_by (hs : list holder) (es : list event) : Prop :=
  real_mms es /\ exists ids, mappings es = Some ids /\ forall m, count m ids = num (maps_as m) hs.

(** What a fault read is so while nobody was in a section; and if it adds up, the page is the fault's own. *)
Definition reading (j : judge) (w : state) (f : fault) : Prop :=
  (length (begun f) + opened w <= length (updates w))%nat /\
  (settled w f -> (forall n, read_count f = Some n -> n = held_maps w) /\
    (forall n, read_refs f = Some n -> n = held_maps w -> says j (after j (begun f)) (fault_mm f) = EXCLUSIVE -> mine (holders w) f)).

Record sane (j : judge) (w : state) : Prop := Sane {
  s_shape : shape (holders w) (memory w);
  s_other : 0 <= other_refs w;
  s_tracked : tracked_by (holders w) (updates w);
  s_word : count_word w + lacking w = held_maps w;
  s_fault : forall f, In f (faults w) -> locked (holders w) f /\ reading j w f /\ (granted f = true -> mine (holders w) f) }.

(** The moment: every reference is a mapping, and the scheme says that all mappings are one MM's. *)
Lemma moment room j w f : never_false_exclusive room j -> sane j w -> room (updates w) -> locked (holders w) f ->
  updates w = begun f -> held_refs w = held_maps w -> says j (after j (begun f)) (fault_mm f) = EXCLUSIVE -> mine (holders w) f.
Proof.
  intros never [_ other (real & ids & em & counts) _ _] has [(h & hh & fh & mh & ph) _] at_once refs said u hu _.
  destruct (mapped_here h fh) as [_ ch].
  assert (all : forall g, In g (holders w) -> counted g = true).
  { apply num_all. unfold held_refs, held_maps in refs. pose proof (num_bounds counted (holders w)). unfold num in *. lia. }
  assert (among : forall g, In g (holders w) -> In (mm_of g) ids).
  { intros g hg. apply count_pos. rewrite counts. apply (num_pos _ g); [easy|]. unfold maps_as. now rewrite (all g hg), Z.eqb_refl. }
  rewrite <- at_once in said. apply (never (updates w) ids (fault_mm f)); [easy|easy|easy| |exact said|auto].
  rewrite <- mh. auto.
Qed.

(** No update, and holders of old: what is known of the faults stays. *)
Lemma faults_stay j w w' : updates w' = updates w -> section w' = section w -> held_maps w' = held_maps w ->
  (forall f, In f (faults w) -> mine (holders w) f -> mine (holders w') f) ->
  (forall f, In f (faults w) -> locked (holders w) f -> locked (holders w') f) ->
  (forall f, In f (faults w) -> locked (holders w) f /\ reading j w f /\ (granted f = true -> mine (holders w) f)) ->
  forall f, In f (faults w) -> locked (holders w') f /\ reading j w' f /\ (granted f = true -> mine (holders w') f).
Proof.
  intros eu es eh em el all f hf. destruct (all f hf) as (lk & [long rd] & gr). split; [auto|]. split; [|auto].
  unfold reading, opened, settled in *. rewrite eu, es, eh. split; [easy|]. intros st. destruct (rd st) as [rc rr].
  split; [easy|]. intros n hn eq said. apply em; [easy|]. exact (rr n hn eq said).
Qed.

(** After an update no earlier look is settled. *)
Lemma faults_unsettled j w w' e : updates w' = updates w ++ [e] -> section w = None ->
  (forall f, In f (faults w) -> mine (holders w) f -> mine (holders w') f) ->
  (forall f, In f (faults w) -> locked (holders w) f -> locked (holders w') f) ->
  (forall f, In f (faults w) -> locked (holders w) f /\ reading j w f /\ (granted f = true -> mine (holders w) f)) ->
  forall f, In f (faults w) -> locked (holders w') f /\ reading j w' f /\ (granted f = true -> mine (holders w') f).
Proof.
  intros eu es em el all f hf. destruct (all f hf) as (lk & [long _] & gr). split; [auto|]. split; [|auto].
  unfold reading, opened, settled in *. rewrite es in long. rewrite eu, app_length. cbn [length]. split.
  - destruct (section w'); lia.
  - intros [st _]. apply (f_equal (@length event)) in st. rewrite app_length in st. cbn in st. lia.
Qed.

Lemma tracked_by_same hs hs' es : (forall m, num (maps_as m) hs' = num (maps_as m) hs) -> tracked_by hs es -> tracked_by hs' es.
Proof. intros same (real & ids & em & all). split; [easy|]. exists ids. split; [easy|]. intros m. now rewrite same. Qed.

Lemma tracked_by_more hs hs' e es : 1 <= mm e -> tracked_by hs es ->
  step (match mappings es with Some i => i | None => [] end) e <> None ->
  (forall m, num (maps_as m) hs' = num (maps_as m) hs + (if mm e =? m then nr e else 0)) -> tracked_by hs' (es ++ [e]).
Proof.
  intros hm (real & ids & em & all) fine grows. split; [apply Forall_app; now split; [|constructor]|].
  rewrite em in fine. destruct (step ids e) as [rest|] eqn:e1; [|easy]. exists rest. split.
  - unfold mappings in *. rewrite mappings_from_app, em. cbn. now rewrite e1.
  - intros m. rewrite (step_count _ _ _ _ e1), all, grows. reflexivity.
Qed.

Lemma counts_same l h h' r : counted h' = counted h -> mm_of h' = mm_of h ->
  num counted (l ++ h' :: r) = num counted (l ++ h :: r) /\
  forall m, num (maps_as m) (l ++ h' :: r) = num (maps_as m) (l ++ h :: r).
Proof.
  intros ec em. split; [|intros m]; rewrite !num_mid; unfold maps_as; now rewrite ?ec, ?em.
Qed.

Lemma sane_holders j w hs c : sane j w -> shape hs c -> num counted hs = num counted (holders w) ->
  (forall m, num (maps_as m) hs = num (maps_as m) (holders w)) ->
  (forall f, In f (faults w) -> locked (holders w) f -> mine (holders w) f -> mine hs f) ->
  (forall f, In f (faults w) -> locked (holders w) f -> locked hs f) ->
  sane j (State hs c (other_refs w) (updates w) (count_word w) (section w) (faults w)).
Proof.
  intros [sh ot tr wo fa] shape' same tally em el. constructor; cbn; [easy|easy| |..].
  - now apply (tracked_by_same (holders w)).
  - unfold lacking in *. cbn. rewrite wo. symmetry. exact same.
  - refine (faults_stay j w (State hs c (other_refs w) (updates w) (count_word w) (section w) (faults w)) eq_refl eq_refl same _ el fa).
    intros f hf. apply em; [easy|]. now apply fa.
Qed.

Lemma sane_update j w hs e : sane j w -> section w = None -> shape hs (memory w) -> 1 <= mm e ->
  step (match mappings (updates w) with Some i => i | None => [] end) e <> None ->
  num counted hs = num counted (holders w) + nr e ->
  (forall m, num (maps_as m) hs = num (maps_as m) (holders w) + (if mm e =? m then nr e else 0)) ->
  from_old (holders w) hs ->
  (forall f, In f (faults w) -> locked (holders w) f -> locked hs f) ->
  sane j (with_update e (with_holders hs w)).
Proof.
  intros [sh ot tr wo fa] none shape' hm fine same tally old el. constructor; cbn; [easy|easy| |..].
  - now apply (tracked_by_more (holders w)).
  - unfold lacking, held_maps in *. cbn. rewrite none in wo. fold (num counted hs). fold (num counted (holders w)) in wo. lia.
  - refine (faults_unsettled j w (with_update e (with_holders hs w)) e eq_refl none _ el fa). intros f hf. now apply mine_old.
Qed.

(** Holders of one MM change their phase, page after page. *)
Lemma turned_keeps m old new d p hs hs' c n : (d = 1 \/ d = -1) -> old <> Mapped -> new <> Mapped ->
  (forall h, in_phase h = old -> coming (turn new h) = coming h /\ (unseen h -> unseen (turn new h)) /\
    (if counted (turn new h) then 1 else 0) = (if counted h then 1 else 0) + d) ->
  shape hs c -> turned m old new p hs hs' ->
  shape hs' c /\ from_old hs hs' /\ (forall f, locked hs f -> locked hs' f) /\
  num counted hs' = num counted hs + d /\ num (maps_as n) hs' = num (maps_as n) hs + (if m =? n then d else 0).
Proof.
  intros one was is same sh t. destruct t as [l h r mh ph fh] in sh |- *. destruct (same h fh) as (ec & eu & en).
  split; [|split; [|split; [|split]]].
  - apply (shape_moves l h); try easy; [now left|congruence].
  - apply from_old_mid; try easy. now rewrite ec.
  - intros f. apply locked_mid; try easy; [now rewrite ec|congruence].
  - rewrite !num_mid. lia.
  - rewrite !num_mid. unfold maps_as at 1 3. cbn [mm_of turn]. rewrite mh. destruct (m =? n); rewrite ?andb_true_r, ?andb_false_r; lia.
Qed.

Lemma sane_turned j w m old new d p k hs : sane j w -> section w = None -> 0 < k -> (d = 1 \/ d = -1) -> old <> Mapped -> new <> Mapped ->
  (forall h, in_phase h = old -> coming (turn new h) = coming h /\ (unseen h -> unseen (turn new h)) /\
    (if counted (turn new h) then 1 else 0) = (if counted h then 1 else 0) + d) ->
  batch (turned m old new) p (holders w) hs k -> sane j (with_update (Ev m p (k * d) false) (with_holders hs w)).
Proof.
  intros ok none hk one was is same b. pose proof ok as [sh _ (real & ids & em & counts) _ _].
  set (good := fun hs => shape hs (memory w) /\ from_old (holders w) hs /\ forall f, locked (holders w) f -> locked hs f).
  assert (start : good (holders w)) by (split; [easy|split; [apply from_old_refl|easy]]).
  assert (each : forall n q s s', good s -> turned m old new q s s' ->
    good s' /\ num counted s' = num counted s + d /\ num (maps_as n) s' = num (maps_as n) s + (if m =? n then d else 0)).
  { intros n q s s' (s1 & s2 & s3) t. destruct (turned_keeps m old new d q s s' (memory w) n one was is same s1 t) as (t1 & t2 & t3 & t4 & t5).
    split; [|easy]. split; [easy|]. split; [now apply (from_old_trans _ s)|auto]. }
  destruct (batch_keeps good (num counted) (turned m old new) d (fun q s s' g t => let '(conj a (conj b _)) := each 0 q s s' g t in conj a b)
    p _ _ k b start) as [(shape' & old' & locked') more].
  pose proof (fun n => proj2 (batch_keeps good (num (maps_as n)) (turned m old new) (if m =? n then d else 0)
    (fun q s s' g t => let '(conj a (conj _ b)) := each n q s s' g t in conj a b) p _ _ k b start)) as tally.
  apply sane_update; try easy; cbn [mm nr].
  - destruct b as [|q s s' s'' k [l h r <- _ _] _]; [lia|]. apply sh, in_elt.
  - rewrite em. intros [zero|less]%truth_refuses_proved; cbn [mm nr] in *; [nia|]. rewrite counts in less.
    specialize (tally m). cbn beta in tally. rewrite Z.eqb_refl in tally. pose proof (num_bounds (maps_as m) hs). lia.
  - intros n. rewrite tally. destruct (m =? n); lia.
  - intros f _. apply locked'.
Qed.

Lemma sane_faults j w fs : sane j w ->
  (forall f, In f fs -> In f (faults w) \/ (locked (holders w) f /\ reading j w f /\ (granted f = true -> mine (holders w) f))) ->
  sane j (with_faults fs w).
Proof.
  intros [sh ot tr wo fa] each. constructor; cbn; try easy. intros f hf. destruct (each f hf) as [old|new]; [apply (fa f old)|exact new].
Qed.

Lemma fault_changed (l r : list fault) f g : In g (l ++ f :: r) -> forall old, In g (l ++ old :: r) \/ g = f.
Proof. intros hg old. apply in_mid in hg as [->|hg]; [now right|left; apply in_mid; now right]. Qed.

Lemma act_sane room j w w' : never_false_exclusive room j -> room (updates w) -> sane j w -> act j w w' -> sane j w'.
Proof.
  intros never has ok [m p hm none|h child hh fh hc ne free|m p k hs hk b none|l h r eq fh|l h r eq fh ph|l h r x eq fh ph away
    |l h r eq fh free kids|m p k hs hk b none|l h r eq fh|h hh fh|k hk|d open|h hh fh none free kids|l f r eq none|l f r eq|l f r eq
    |l f r n eq st rc rr said|f l h r hf gr eq fh mh ph|l f r eq|h x hh ch np wh];
    pose proof ok as [sh ot tr wo fa].
  - (* TouchBegin *)
    apply sane_holders; try easy; [now apply shape_touch| |].
    + intros f hf [(h & hh & _ & _ & ph) _] all u [<-|hu]; [|now apply all]. cbn. intros pf. elim (none h hh). congruence.
    + intros f hf [(h & hh & fh & mh & ph) child]. split; [exists h; split; [now right|easy]|].
      intros u [<-|hu]; [|now apply child]. cbn. intros _ pf. elim (none h hh). congruence.
  - (* ForkBegin *)
    apply sane_holders; try easy; [now apply shape_fork| |].
    + intros f hf _ all u [<-|hu]; [|now apply all]. cbn. intros pu. elim (free f hf); [|easy]. symmetry. now apply all.
    + intros f hf [(g & hg & rest) kin]. split; [exists g; split; [now right|easy]|].
      intros u [<-|hu]; [|now apply kin]. cbn. intros _ pu mu. now elim (free f hf).
  - (* CountIn *)
    rewrite <- (Z.mul_1_r k). apply (sane_turned j w m Referenced Counted 1 p k hs); try easy; [now left|].
    intros h fh. unfold coming, counted, unseen. cbn. rewrite fh. repeat split; auto.
  - (* Shield *)
    set (p := page_at h). rewrite eq in *. destruct (shape_shielded p _ _ sh) as [shielded idle]. rewrite map_app in *. cbn [map] in *.
    assert (commute : shield p (turn Protected h) = turn Protected (shield p h)) by (unfold shield, p; cbn; now rewrite Z.eqb_refl).
    assert (fs : in_phase (shield p h) = Counted) by (now destruct (shield_same p h) as (_ & _ & _ & ->)).
    rewrite commute. apply sane_holders; try easy; rewrite ?eq.
    + apply (shape_moves _ (shield p h)); try easy; [unfold coming; cbn; now rewrite fs| |congruence].
      right. intros z hz pz. apply idle; [easy|]. rewrite pz. now destruct (shield_same p h) as (_ & -> & _).
    + rewrite (proj1 (counts_same _ (shield p h) (turn Protected (shield p h)) _ ltac:(unfold counted; cbn; now rewrite fs) eq_refl)).
      rewrite <- (num_map counted (shield p) (l ++ h :: r)), map_app; [easy|]. intros g. unfold counted.
      now destruct (shield_same p g) as (_ & _ & _ & ->).
    + intros m. rewrite (proj2 (counts_same _ (shield p h) (turn Protected (shield p h)) _ ltac:(unfold counted; cbn; now rewrite fs) eq_refl)).
      rewrite <- (num_map (maps_as m) (shield p) (l ++ h :: r)), map_app; [easy|]. intros g. unfold maps_as, counted.
      now destruct (shield_same p g) as (-> & _ & _ & ->).
    + intros f hf _. apply mine_old. apply (from_old_trans _ (map (shield p) (l ++ h :: r))); [apply from_old_map, shield_same|].
      rewrite map_app. cbn. apply from_old_mid; try easy. unfold coming. cbn. now rewrite fs.
    + intros f hf lk. apply (locked_map (shield p)) in lk; [|apply shield_same]. rewrite map_app in lk. cbn in lk.
      revert lk. apply locked_mid; try easy; [unfold coming; cbn; now rewrite fs|congruence].
  - (* ForkEnd *)
    rewrite eq in *. assert (c1 : counted h = true) by (unfold counted; now rewrite fh).
    destruct (counts_same l h (Holder (mm_of h) (page_at h) Mapped (parent h) false (memory w (page_at h))) r ltac:(easy) eq_refl) as [same tally].
    apply sane_holders; try easy; rewrite ?eq; try easy.
    + now apply shape_child.
    + intros f hf _. apply mine_old, from_old_mid; easy.
    + intros f hf. apply locked_mid; try easy. congruence.
  - (* TouchEnd *)
    rewrite eq in *. assert (c1 : counted h = true) by (unfold counted; now rewrite fh).
    destruct (counts_same l h (Holder (mm_of h) (page_at h) Mapped (parent h) true x) r ltac:(easy) eq_refl) as [same tally].
    refine (sane_holders j w _ (fun q => if q =? page_at h then x else memory w q) ok _ _ _ _ _); rewrite ?eq; try easy.
    + now apply shape_first.
    + intros f hf _. apply mine_old, from_old_mid; easy.
    + intros f hf. apply locked_mid; try easy. congruence.
  - (* Clear *)
    destruct (mapped_here h fh) as [ch c1]. unfold no_child in kids. rewrite eq in *.
    destruct (counts_same l h (turn Cleared h) r ltac:(now rewrite c1) eq_refl) as [same tally].
    apply sane_holders; try easy; rewrite ?eq; try easy.
    + apply (shape_moves l h); try easy. left. intros un%unseen_coming. congruence.
    + intros f hf _. apply mine_old, from_old_mid; easy.
    + intros f hf. apply locked_mid; try easy. intros _. right. intros [mf pf]. now apply (free f hf).
  - (* CountOut *)
    replace (- k) with (k * -1) by lia. apply (sane_turned j w m Cleared Uncounted (-1) p k hs); try easy; [now right|].
    intros h fh. unfold coming, counted, unseen. cbn. rewrite fh. repeat split; intros [?|?]; easy.
  - (* Release *)
    rewrite eq in *. assert (ch : coming h = false) by (unfold coming; destruct fh as [-> | ->]; easy).
    assert (c0 : counted h = false) by (unfold counted; destruct fh as [-> | ->]; easy).
    assert (sub : forall u, In u (l ++ r) -> In u (l ++ h :: r)) by (intros u hu; apply in_mid; now right).
    apply sane_holders; try easy; rewrite ?eq.
    + apply (shape_gone l h); [easy| |easy]. destruct fh; congruence.
    + now rewrite num_mid, c0.
    + intros m. rewrite num_mid. unfold maps_as at 2. now rewrite c0.
    + intros f hf _ all u hu. auto.
    + intros f hf [(g & hg & fg & rest) child]. split; [|auto]. exists g. split; [|easy].
      apply in_mid in hg as [->|]; [destruct fh; congruence|easy].
  - (* PinPage *)
    apply sane_holders; try easy; [now apply shape_pin| |].
    + intros f hf _ all u [<-|hu]; [|now apply all]. exact (all h hh).
    + intros f hf [(g & hg & rest) child]. split; [exists g; split; [now right|easy]|]. intros u [<-|hu]; [easy|now apply child].
  - (* OtherRefs *) constructor; easy.
  - (* SectionEnd *)
    constructor; cbn; try easy; [unfold lacking in *; cbn; rewrite open in wo; unfold held_maps in *; cbn; lia|].
    intros f hf. destruct (fa f hf) as (lk & [long _] & gr). split; [easy|]. split; [|easy].
    unfold reading, opened, settled in *. cbn. rewrite open in long. split; [lia|]. intros [st _]. rewrite st in long. lia.
  - (* FaultBegin *)
    apply sane_faults; [easy|]. intros f [<-|hf]; [right|now left]. split; [|split; [|easy]].
    + split; [now exists h|exact kids].
    + unfold reading, opened. cbn. rewrite none. split; [lia|]. now split.
  - (* FaultAgain *)
    apply sane_faults; [easy|]. intros g hg. rewrite eq in *. destruct (fault_changed _ _ _ _ hg f) as [old| ->]; [now left|right].
    destruct (fa f ltac:(apply in_mid; now left)) as (lk & _ & _). split; [exact lk|]. split; [|easy].
    unfold reading, opened. cbn. rewrite none. split; [lia|]. now split.
  - (* FaultCount *)
    apply sane_faults; [easy|]. intros g hg. rewrite eq in *. destruct (fault_changed _ _ _ _ hg f) as [old| ->]; [now left|right].
    destruct (fa f ltac:(apply in_mid; now left)) as (lk & [long rd] & gr). split; [exact lk|]. split; [|exact gr].
    split; [exact long|]. intros st. destruct (rd st) as [_ rr]. split; [|exact rr].
    intros n [= <-]. destruct st as [_ none]. unfold lacking in wo. rewrite none in wo. lia.
  - (* FaultRefs *)
    apply sane_faults; [easy|]. intros g hg. rewrite eq in *. destruct (fault_changed _ _ _ _ hg f) as [old| ->]; [now left|right].
    destruct (fa f ltac:(apply in_mid; now left)) as (lk & [long rd] & gr). split; [exact lk|]. split; [|exact gr].
    split; [exact long|]. intros st. destruct (rd st) as [rc _]. split; [exact rc|].
    intros n [= <-] refs said. destruct st as [at_once _]. exact (moment room j w f never ok has lk at_once refs said).
  - (* FaultGrant *)
    apply sane_faults; [easy|]. intros g hg. rewrite eq in *. destruct (fault_changed _ _ _ _ hg f) as [old| ->]; [now left|right].
    destruct (fa f ltac:(apply in_mid; now left)) as (lk & rd & gr). split; [exact lk|]. split; [exact rd|].
    intros _. destruct rd as [_ rd]. destruct (rd st) as [counts refs]. exact (refs n rr (counts n rc) said).
  - (* FaultKeep *)
    destruct (fa f hf) as ([_ child] & _ & mine_f). specialize (mine_f gr). rewrite eq in *.
    destruct (mapped_here h fh) as [ch c1].
    destruct (counts_same l h (Holder (mm_of h) (page_at h) Mapped (parent h) true (expects h)) r ltac:(easy) eq_refl) as [same tally].
    apply sane_holders; try easy; rewrite ?eq; try easy.
    + apply shape_kept; [easy| | |easy].
      * intros u hu pu. rewrite mh. apply mine_f; congruence.
      * intros u hu cu pu. rewrite mh. apply child; congruence.
    + intros g hg _. apply mine_old, from_old_mid; easy.
    + intros g hg. apply locked_mid; try easy. now left.
  - (* FaultEnd *)
    apply sane_faults; [easy|]. intros g hg. left. rewrite eq. apply in_mid. now right.
  - (* Store *)
    set (g := wrote (mm_of h) (page_at h) x).
    assert (same : forall u, mm_of (g u) = mm_of u /\ page_at (g u) = page_at u /\ parent (g u) = parent u /\ in_phase (g u) = in_phase u)
      by (intros u; apply wrote_same).
    refine (sane_holders j w (map g (holders w)) (fun q => if q =? page_at h then x else memory w q) ok _ _ _ _ _).
    + now apply shape_written.
    + apply num_map. intros u. unfold counted. now destruct (same u) as (_ & _ & _ & ->).
    + intros m. apply num_map. intros u. unfold maps_as, counted. now destruct (same u) as (-> & _ & _ & ->).
    + intros f hf _. now apply mine_old, from_old_map.
    + intros f hf. now apply locked_map.
Qed.

Lemma happens_sane room j w : never_false_exclusive room j -> happens room j w -> sane j w.
Proof.
  intros never run. induction run as [|w w' _ IH has a]; [|exact (act_sane room j w w' never has IH a)].
  constructor; try easy.
  - split; [constructor|]. exists []. split; [easy|]. intros m. reflexivity.
Qed.

Theorem interleaved_non_interference_proved : interleaved_non_interference.
Proof. intros room j never w run. exact (proj1 (s_shape _ _ (happens_sane room j w never run))). Qed.

Theorem granted_page_is_private_proved : granted_page_is_private.
Proof.
  intros room j never w f h run hf gr hh ph. destruct (happens_sane room j w never run) as [_ _ _ _ fa].
  destruct (fa f hf) as (_ & _ & all). now apply (all gr).
Qed.

(** MM 1 touches two pages with one update, and writes the first after a fault. *)
Theorem faults_are_granted_proved : faults_are_granted.
Proof.
  set (j := mm_id_judge). pose proof (Before anything j) as r.
  pose proof (Then _ _ _ _ r I (TouchBegin j nothing_yet 1 0 ltac:(lia) (fun h (hh : In h []) => match hh with end))) as r0. cbn in r0.
  match type of r0 with happens _ _ ?w =>
    pose proof (Then _ _ _ _ r0 I (TouchBegin j w 1 1 ltac:(lia) ltac:(intros h [<-|[]]; easy))) as r1 end. cbn in r1.
  set (h0 := Holder 1 0 Referenced 1 false 0) in *. set (h1 := Holder 1 1 Referenced 1 false 0) in *.
  assert (two : batch (turned 1 Referenced Counted) 0 [h1; h0] [turn Counted h1; turn Counted h0] 2).
  { apply (Another (turned 1 Referenced Counted) 0 _ _ _ 1 (Turned 1 Referenced Counted 0 [h1] h0 [] eq_refl eq_refl eq_refl)).
    apply batch_one. exact (Turned 1 Referenced Counted 1 [] h1 [turn Counted h0] eq_refl eq_refl eq_refl). }
  match type of r1 with happens _ _ ?w =>
    pose proof (Then _ _ _ _ r1 I (CountIn j w 1 0 2 _ ltac:(lia) two eq_refl)) as r2 end. clear two. cbn in r2. subst h0 h1.
  match type of r2 with happens _ _ ?w => pose proof (Then _ _ _ _ r2 I (SectionEnd j w _ eq_refl)) as r3 end. cbn in r3.
  match type of r3 with happens _ _ ?w =>
    pose proof (Then _ _ _ _ r3 I (Shield j w [Holder 1 1 Counted 1 false 0] _ [] eq_refl eq_refl)) as r4 end. cbn in r4.
  match type of r4 with happens _ _ ?w => pose proof (Then _ _ _ _ r4 I (TouchEnd j w [Holder 1 1 Counted 1 false 0] _ [] 7 eq_refl eq_refl eq_refl
    ltac:(intros u [<-|[]]; easy))) as r5 end. cbn in r5.
  match type of r5 with happens _ _ ?w =>
    pose proof (Then _ _ _ _ r5 I (FaultBegin j w (Holder 1 0 Mapped 1 true 7) (or_intror (or_introl eq_refl)) eq_refl eq_refl
      (fun f (hf : In f []) => match hf with end) ltac:(intros h [<-|[<-|[]]]; easy))) as r6 end. cbn in r6.
  match type of r6 with happens _ _ ?w => pose proof (Then _ _ _ _ r6 I (FaultCount j w [] _ [] eq_refl)) as r7 end. cbn in r7.
  match type of r7 with happens _ _ ?w => pose proof (Then _ _ _ _ r7 I (FaultRefs j w [] _ [] eq_refl)) as r8 end. cbn in r8.
  match type of r8 with happens _ _ ?w =>
    pose proof (Then _ _ _ _ r8 I (FaultGrant j w [] _ [] 2 eq_refl (conj eq_refl eq_refl) eq_refl eq_refl eq_refl)) as r9 end. cbn in r9.
  match type of r9 with happens _ _ ?w => exists w end. eexists. split; [exact r9|]. split; [easy|]. split; [now left|easy].
Qed.

Theorem refs_bound_maps_proved : refs_bound_maps.
Proof.
  intros room j never w run. destruct (happens_sane room j w never run) as [_ other _ word _]. split.
  - unfold held_maps, held_refs. pose proof (num_bounds counted (holders w)). unfold num in *. lia.
  - intros none. unfold lacking in word. rewrite none in word. lia.
Qed.
