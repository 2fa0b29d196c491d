(** * mm-id

    What: invariants of the two slots and the flag; a sequence with a false shared.
    Idea: a slot never counts more than its MM maps, so a slot that counts all
    mappings proves that they are its MM's. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements Bookkeeping.
Import ListNotations.
Open Scope Z_scope.

(** ** Exclusiveness, told by counts *)

Lemma exclusive_to_step x ids e rest : step ids e = Some rest ->
  (exclusive_to x rest <-> count x ids + (if mm e =? x then nr e else 0) = size ids + nr e).
Proof. intros es. now rewrite exclusive_to_count, (step_count x _ _ _ es), (step_size _ _ _ es). Qed.

(** A mapper of an exclusively mapped folio is its only one. *)
Lemma exclusive_mapper x ids : exclusive ids -> 0 < count x ids -> exclusive_to x ids.
Proof. intros [y all] hx%count_pos z hz. rewrite (all z hz). symmetry. now apply all. Qed.

Lemma exclusive_nil : exclusive [].
Proof. exists 0. intros y []. Qed.

(** ** mm-id: never a false exclusive *)

(** Free, or an MM's, and then it counts one or more but not too many. *)
Definition slot_ok (ids : list Z) (sl : slot) : Prop :=
  (owner sl = 0 /\ held sl = 0) \/ (1 <= owner sl /\ 1 <= held sl <= count (owner sl) ids).

Definition mm_id_safe (ids : list Z) (s : mm_id) : Prop :=
  total s = size ids /\ slot_ok ids (slot0 s) /\ slot_ok ids (slot1 s) /\
  (maybe_shared s = false -> exclusive ids).

Lemma slot_ok_grows ids rest e sl : step ids e = Some rest -> 0 < nr e ->
  slot_ok ids sl -> slot_ok rest sl.
Proof.
  intros es pos [free|held]; [now left|right]. rewrite (step_count _ _ _ _ es). cases; lia.
Qed.

Lemma slot_ok_mine ids rest e sl : step ids e = Some rest -> 0 < nr e -> owner sl = mm e ->
  slot_ok ids sl -> 1 <= mm e -> slot_ok rest (Slot (mm e) (held sl + nr e)).
Proof.
  intros es pos mine ok hm. right. cbn. rewrite (step_count _ _ _ _ es), Z.eqb_refl.
  destruct ok as [free|held]; [lia|]. rewrite mine in held. lia.
Qed.

Lemma slot_ok_new ids rest e : step ids e = Some rest -> 0 < nr e -> 1 <= mm e ->
  slot_ok rest (Slot (mm e) (nr e)).
Proof.
  intros es pos hm. right. cbn. rewrite (step_count _ _ _ _ es), Z.eqb_refl.
  pose proof (count_bounds (mm e) ids). lia.
Qed.

Lemma slot_ok_release ids rest e sl : step ids e = Some rest -> nr e < 0 -> 1 <= mm e ->
  slot_ok ids sl -> slot_ok rest (release (- nr e) (mm e) sl).
Proof.
  intros es neg hm ok. unfold release.
  destruct (Z.eqb_spec (owner sl) (mm e)) as [mine|not].
  - destruct (Z.leb_spec (held sl - - nr e) 0); [now left|right]. cbn.
    rewrite (step_count _ _ _ _ es), Z.eqb_refl. destruct ok as [free|held]; [lia|].
    rewrite mine in held. lia.
  - destruct ok as [free|held]; [now left|right].
    rewrite (step_count _ _ _ _ es). cases; lia.
Qed.

(** A tracked MM that maps an exclusive folio keeps it exclusive. *)
Lemma stays_exclusive ids rest e : step ids e = Some rest -> 0 < count (mm e) ids ->
  exclusive ids -> exclusive rest.
Proof.
  intros es pos ex. exists (mm e). apply (exclusive_to_step _ _ _ _ es). rewrite Z.eqb_refl.
  apply (exclusive_mapper (mm e)) in ex; [|easy]. apply exclusive_to_count in ex. lia.
Qed.

(** Unmapping cannot end exclusiveness. *)
Lemma unmap_exclusive ids rest e : step ids e = Some rest -> nr e < 0 ->
  exclusive ids -> exclusive rest.
Proof.
  intros es neg [x ex]. exists x. apply (exclusive_to_step _ _ _ _ es).
  apply exclusive_to_count in ex. pose proof (step_size _ _ _ es) as hs.
  pose proof (step_count x _ _ _ es) as hx. pose proof (step_count (mm e) _ _ _ es) as hm.
  rewrite Z.eqb_refl in hm. pose proof (count_bounds (mm e) rest). pose proof (count_bounds x rest).
  destruct (Z.eqb_spec (mm e) x); [lia|]. pose proof (count_two x (mm e) ids ltac:(congruence)). lia.
Qed.

Lemma fresh_exclusive ids rest e : step ids e = Some rest -> size rest = nr e -> exclusive rest.
Proof.
  intros es all. exists (mm e). apply exclusive_to_count.
  rewrite (step_count _ _ _ _ es), Z.eqb_refl. pose proof (step_size _ _ _ es).
  pose proof (count_bounds (mm e) ids). lia.
Qed.

Lemma holds_all_exclusive ids sl : slot_ok ids sl -> holds_all (size ids) sl = true -> exclusive ids.
Proof.
  unfold holds_all. rewrite andb_true_iff, negb_true_iff, Z.eqb_neq, Z.eqb_eq.
  intros [free|held] [owned all]; [easy|]. exists (owner sl). apply exclusive_to_count.
  pose proof (count_bounds (owner sl) ids). lia.
Qed.

Lemma mm_id_map_safe ids rest s e : step ids e = Some rest -> 0 < nr e -> 1 <= mm e ->
  mm_id_safe ids s -> mm_id_safe rest (mm_id_map (nr e) (mm e) s).
Proof.
  intros es pos hm (tot & ok0 & ok1 & flag). pose proof (step_size _ _ _ es) as hs.
  pose proof (slot_ok_grows _ _ _ _ es pos ok0) as up0.
  pose proof (slot_ok_grows _ _ _ _ es pos ok1) as up1.
  assert (mine : forall sl, slot_ok ids sl -> owner sl = mm e -> 0 < count (mm e) ids).
  { intros sl [free|held] eq; [lia|]. rewrite eq in held. lia. }
  unfold mm_id_map, mm_id_safe.
  destruct (Z.eqb_spec (owner (slot0 s)) (mm e)) as [mine0|not0].
  { cbn. repeat split; [lia|now apply (slot_ok_mine ids)|easy|].
    intros calm. apply (stays_exclusive _ _ _ es); [|auto]. exact (mine _ ok0 mine0). }
  destruct (Z.eqb_spec (owner (slot1 s)) (mm e)) as [mine1|not1].
  { cbn. repeat split; [lia|easy|now apply (slot_ok_mine ids)|].
    intros calm. apply (stays_exclusive _ _ _ es); [|auto]. exact (mine _ ok1 mine1). }
  assert (fresh : maybe_shared s || negb (total s + nr e =? nr e) = false -> exclusive rest).
  { rewrite orb_false_iff, negb_false_iff, Z.eqb_eq. intros [_ eq].
    apply (fresh_exclusive _ _ _ es). lia. }
  destruct (owner (slot0 s) =? 0); [|destruct (owner (slot1 s) =? 0)]; cbn;
    repeat split; try lia; try easy; now apply (slot_ok_new ids).
Qed.

Lemma mm_id_unmap_safe ids rest s e : step ids e = Some rest -> nr e < 0 -> 1 <= mm e ->
  mm_id_safe ids s -> mm_id_safe rest (mm_id_unmap (- nr e) (mm e) s).
Proof.
  intros es neg hm (tot & ok0 & ok1 & flag). pose proof (step_size _ _ _ es) as hs.
  pose proof (slot_ok_release _ _ _ _ es neg hm ok0) as down0.
  pose proof (slot_ok_release _ _ _ _ es neg hm ok1) as down1.
  unfold mm_id_unmap, mm_id_safe. replace (total s - - nr e) with (size rest) by lia. cbn.
  repeat split; [easy|easy|]. rewrite andb_false_iff, negb_false_iff, !orb_true_iff, Z.eqb_eq, size_zero.
  intros [calm|[[none|all0]|all1]].
  - apply (unmap_exclusive _ _ _ es neg); auto.
  - rewrite none. apply exclusive_nil.
  - exact (holds_all_exclusive _ _ down0 all0).
  - exact (holds_all_exclusive _ _ down1 all1).
Qed.

Lemma mm_id_step_safe ids s e rest : 1 <= mm e ->
  mm_id_safe ids s -> step ids e = Some rest -> mm_id_safe rest (mm_id_step s e).
Proof.
  intros hm safe es. pose proof (step_nr _ _ _ es). unfold mm_id_step.
  destruct (Z.ltb_spec 0 (nr e)).
  - now apply (mm_id_map_safe ids).
  - apply (mm_id_unmap_safe ids); auto. lia.
Qed.

Lemma mm_id_start_safe : mm_id_safe [] mm_id_start.
Proof. repeat split; try (now left). intros _. apply exclusive_nil. Qed.

Lemma mm_id_always_safe es ids : real_mms es -> mappings es = Some ids -> mm_id_safe ids (mm_id_run es).
Proof.
  intros real em.
  exact (invariant_from _ _ mm_id_safe _ mm_id_step_safe es [] _ ids real mm_id_start_safe em).
Qed.

Theorem mm_id_never_false_exclusive_proved : mm_id_never_false_exclusive.
Proof.
  intros es ids real em. pose proof (mm_id_always_safe es ids real em) as (_ & _ & _ & flag).
  unfold mm_id_verdict. destruct (maybe_shared (mm_id_run es)); [easy|auto].
Qed.

(** ** mm-id: exact while at most two MMs map *)

(** What the two slots know of an MM. *)
Definition shown (m : Z) (sl : slot) : Z := if owner sl =? m then held sl else 0.
Definition known (m : Z) (s : mm_id) : Z := shown m (slot0 s) + shown m (slot1 s).

(** The slots know everything, so an exclusive folio is never flagged. *)
Definition mm_id_exact (ids : list Z) (s : mm_id) : Prop :=
  mm_id_safe ids s /\
  (owner (slot0 s) = owner (slot1 s) -> owner (slot0 s) = 0) /\
  (forall m, count m ids = if 1 <=? m then known m s else 0) /\
  (exclusive ids -> maybe_shared s = false).

Lemma at_most_two_pigeon p q r ids : at_most_two ids -> 0 < count p ids -> 0 < count q ids ->
  0 < count r ids -> p <> q -> p <> r -> q <> r -> False.
Proof.
  intros (y & z & two) hp%count_pos hq%count_pos hr%count_pos.
  destruct (two p hp), (two q hq), (two r hr); congruence.
Qed.

(** Mapping cannot make a shared folio exclusive. *)
Lemma map_exclusive_back ids rest e : step ids e = Some rest -> 0 < nr e ->
  exclusive rest -> exclusive ids.
Proof.
  intros es pos [x ex]. exists x. apply (exclusive_to_step _ _ _ _ es) in ex.
  apply exclusive_to_count. pose proof (count_bounds x ids). destruct (mm e =? x); lia.
Qed.

(** An MM new to an exclusive folio is the first to map it. *)
Lemma newcomer_alone ids rest e : step ids e = Some rest -> 0 < nr e -> count (mm e) ids = 0 ->
  exclusive rest -> size ids = 0.
Proof.
  intros es pos new ex. apply (exclusive_mapper (mm e)) in ex.
  - apply (exclusive_to_step _ _ _ _ es) in ex. rewrite Z.eqb_refl in ex. lia.
  - rewrite (step_count _ _ _ _ es), Z.eqb_refl. lia.
Qed.

Lemma count_known ids s m : mm_id_exact ids s -> 1 <= m -> count m ids = known m s.
Proof. intros (_ & _ & all & _) hm. rewrite all. now rewrite (proj2 (Z.leb_le 1 m) hm). Qed.

Lemma mm_id_map_exact ids rest s e : step ids e = Some rest -> 0 < nr e -> 1 <= mm e ->
  at_most_two rest -> mm_id_exact ids s -> mm_id_exact rest (mm_id_map (nr e) (mm e) s).
Proof.
  intros es pos hm two exact. pose proof (count_known _ _ _ exact hm) as mine.
  destruct exact as (safe & apart & all & flag).
  split; [now apply (mm_id_map_safe ids)|].
  destruct safe as (tot & ok0 & ok1 & _). pose proof (map_exclusive_back _ _ _ es pos) as back.
  pose proof (newcomer_alone _ _ _ es pos) as alone.
  assert (quiet : size ids = 0 -> maybe_shared s || negb (total s + nr e =? nr e) = false).
  { intros none. rewrite flag by (apply size_zero in none as ->; apply exclusive_nil).
    rewrite tot, none. now rewrite Z.eqb_refl. }
  assert (counts : forall m, count m rest = count m ids + (if mm e =? m then nr e else 0))
    by (intros m; exact (step_count m _ _ _ es)).
  unfold mm_id_map. unfold known, shown in mine.
  destruct (Z.eqb_spec (owner (slot0 s)) (mm e)) as [mine0|not0];
    [|destruct (Z.eqb_spec (owner (slot1 s)) (mm e)) as [mine1|not1];
      [|destruct (Z.eqb_spec (owner (slot0 s)) 0) as [free0|busy0];
        [|destruct (Z.eqb_spec (owner (slot1 s)) 0) as [free1|busy1]]]].
  - cbn. split; [lia|]. split; [|auto]. intros m. rewrite counts, all. unfold known, shown. cbn. cases; lia.
  - cbn. split; [lia|]. split; [|auto]. intros m. rewrite counts, all. unfold known, shown. cbn. cases; lia.
  - cbn. split; [lia|]. split; [|auto]. intros m. rewrite counts, all. unfold known, shown. cbn. cases; lia.
  - cbn. split; [lia|]. split; [|auto]. intros m. rewrite counts, all. unfold known, shown. cbn. cases; lia.
  - exfalso. destruct ok0 as [|held0], ok1 as [|held1]; [lia..|].
    apply (at_most_two_pigeon (owner (slot0 s)) (owner (slot1 s)) (mm e) rest two);
      [rewrite counts; cases; lia|rewrite counts; cases; lia| |intros eq; auto|easy|easy].
    rewrite counts, Z.eqb_refl. pose proof (count_bounds (mm e) ids). lia.
Qed.

Lemma release_other k m y sl : m <> y -> 1 <= y -> shown y (release k m sl) = shown y sl.
Proof.
  intros ne hy. unfold release, shown.
  destruct (Z.eqb_spec (owner sl) m) as [->|]; [|easy]. rewrite (proj2 (Z.eqb_neq m y) ne).
  destruct (held sl - k <=? 0); unfold free_slot; cbn [owner held]; cases; lia.
Qed.

(** The MM has one slot; what it unmaps leaves that slot. *)
Lemma release_mine k m p q : (owner p = owner q -> owner p = 0) -> 1 <= m -> 0 < k ->
  0 <= shown m p + shown m q - k ->
  shown m p + shown m q - k = shown m (release k m p) + shown m (release k m q).
Proof.
  intros apart hm hk left. unfold release, shown in *.
  destruct (Z.eqb_spec (owner p) m), (Z.eqb_spec (owner q) m); [lia| | |lia].
  - destruct (Z.leb_spec (held p - k) 0); unfold free_slot; cbn [owner held]; cases; lia.
  - destruct (Z.leb_spec (held q - k) 0); unfold free_slot; cbn [owner held]; cases; lia.
Qed.

Lemma mm_id_unmap_exact ids rest s e : step ids e = Some rest -> nr e < 0 -> 1 <= mm e ->
  mm_id_exact ids s -> mm_id_exact rest (mm_id_unmap (- nr e) (mm e) s).
Proof.
  intros es neg hm exact. pose proof (count_known _ _ _ exact hm) as mine.
  destruct exact as (safe & apart & all & flag).
  pose proof (mm_id_unmap_safe _ _ _ _ es neg hm safe) as safe'.
  split; [exact safe'|].
  destruct safe as (tot & ok0 & ok1 & _).
  assert (counts : forall m, count m rest = count m ids + (if mm e =? m then nr e else 0))
    by (intros m; exact (step_count m _ _ _ es)).
  pose proof (count_bounds (mm e) rest) as left_over. rewrite counts, Z.eqb_refl in left_over.
  set (s' := mm_id_unmap (- nr e) (mm e) s) in *.
  assert (apart' : owner (slot0 s') = owner (slot1 s') -> owner (slot0 s') = 0).
  { unfold s', mm_id_unmap, release. cbn. cases; cbn in *; lia. }
  assert (all' : forall m, count m rest = if 1 <=? m then known m s' else 0).
  { intros m. rewrite counts. destruct (Z.eqb_spec (mm e) m) as [<-|other].
    - rewrite (proj2 (Z.leb_le 1 (mm e)) hm), mine. unfold known in *. cbn.
      pose proof (release_mine (- nr e) (mm e) _ _ apart hm ltac:(lia) ltac:(lia)). lia.
    - rewrite all. destruct (Z.leb_spec 1 m); [|lia]. unfold known. cbn.
      rewrite !release_other by easy. lia. }
  split; [exact apart'|]. split; [exact all'|]. intros [x ex].
  apply exclusive_to_count in ex. destruct safe' as (tot' & ok0' & ok1' & _).
  assert (clear : (total s' =? 0) || holds_all (total s') (slot0 s') || holds_all (total s') (slot1 s') = true).
  { rewrite !orb_true_iff, Z.eqb_eq. destruct (Z.eq_dec (size rest) 0); [left; left; lia|].
    pose proof (size_nonneg rest). rewrite all' in ex. unfold known, shown in ex. unfold holds_all.
    rewrite !andb_true_iff, !negb_true_iff, !Z.eqb_neq, !Z.eqb_eq.
    destruct (Z.leb_spec 1 x); [|lia].
    destruct (Z.eqb_spec (owner (slot0 s')) x), (Z.eqb_spec (owner (slot1 s')) x); lia. }
  change (maybe_shared s') with (maybe_shared s && negb
    ((total s' =? 0) || holds_all (total s') (slot0 s') || holds_all (total s') (slot1 s'))).
  rewrite clear. apply andb_false_r.
Qed.

Lemma mm_id_run_exact es : forall ids s rest, real_mms es -> always at_most_two ids es ->
  mm_id_exact ids s -> mappings_from ids es = Some rest -> mm_id_exact rest (fold_left mm_id_step es s).
Proof.
  induction es as [|e es IH]; intros ids s rest real two exact em; cbn in em |- *.
  - now injection em as <-.
  - cbn in two. destruct two as [_ two]. destruct (step ids e) as [mid|] eqn:e1; [|easy].
    inversion real as [|? ? hm real']; subst.
    apply (IH mid); [easy..| |easy].
    assert (two' : at_most_two mid) by (destruct es; apply two).
    pose proof (step_nr _ _ _ e1). unfold mm_id_step. destruct (Z.ltb_spec 0 (nr e)).
    + now apply (mm_id_map_exact ids).
    + apply (mm_id_unmap_exact ids); auto. lia.
Qed.

(** Whatever happened before, an unmapped folio starts afresh. *)
Lemma mm_id_unmapped s : mm_id_safe [] s -> mm_id_exact [] s \/ maybe_shared s = true.
Proof.
  intros safe. destruct (maybe_shared s) eqn:flag; [now right|left].
  split; [exact safe|]. destruct safe as (_ & ok0 & ok1 & _).
  assert (none : forall sl, slot_ok [] sl -> owner sl = 0 /\ held sl = 0).
  { intros sl [free|held]; [easy|]. rewrite count_nil in held. lia. }
  destruct (none _ ok0) as [o0 h0], (none _ ok1) as [o1 h1]. repeat split; [easy| |easy].
  intros m. rewrite count_nil. unfold known, shown. rewrite o0, o1, h0, h1. cases; lia.
Qed.

(** The flag is never left set on an unmapped folio. *)
Lemma mm_id_total_clears es : forall ids, real_mms es -> mappings es = Some ids ->
  ids = [] -> maybe_shared (mm_id_run es) = false.
Proof.
  intros ids real em none. subst ids.
  assert (keep : forall es start s rest, total s = size start -> (total s = 0 -> maybe_shared s = false) ->
    mappings_from start es = Some rest -> total (fold_left mm_id_step es s) = size rest /\
    (total (fold_left mm_id_step es s) = 0 -> maybe_shared (fold_left mm_id_step es s) = false)).
  { clear. induction es as [|e es IH]; intros start s rest tot calm em; cbn in em |- *.
    - injection em as <-. auto.
    - destruct (step start e) as [mid|] eqn:e1; [|easy]. apply (IH mid); [| |exact em].
      + rewrite (step_size _ _ _ e1), <- tot. unfold mm_id_step, mm_id_map, mm_id_unmap.
        destruct (0 <? nr e); cases; cbn; lia.
      + pose proof (step_nr _ _ _ e1). pose proof (size_nonneg start). unfold mm_id_step.
        destruct (Z.ltb_spec 0 (nr e)); [unfold mm_id_map; cases; cbn; lia|].
        unfold mm_id_unmap. cbn. intros ->. cbn. apply andb_false_r. }
  destruct (keep es [] mm_id_start [] eq_refl (fun _ => eq_refl) em) as [tot calm]. now apply calm.
Qed.

Theorem mm_id_exact_for_two_proved : mm_id_exact_for_two.
Proof.
  intros before es ids real start two em.
  apply Forall_app in real as [real1 real2].
  assert (exact : mm_id_exact ids (mm_id_run (before ++ es))).
  { unfold mm_id_run. rewrite fold_left_app. unfold mappings in em.
    rewrite mappings_from_app in em. unfold mappings in start. rewrite start in em.
    apply (mm_id_run_exact es [] _ ids real2 two); [|exact em].
    destruct (mm_id_unmapped _ (mm_id_always_safe before [] real1 start)) as [|flag]; [easy|].
    rewrite (mm_id_total_clears before [] real1 start eq_refl) in flag. discriminate. }
  destruct exact as ((_ & _ & _ & right) & _ & _ & left).
  unfold mm_id_verdict. destruct (maybe_shared (mm_id_run (before ++ es))).
  - split; [easy|]. intros ex. now specialize (left ex).
  - split; auto.
Qed.

(** Three MMs map; the two with slots leave. *)
Theorem mm_id_false_shared_proved : mm_id_false_shared.
Proof.
  exists [Ev 1 0 1 false; Ev 2 0 1 false; Ev 3 0 1 false; Ev 1 0 (-1) false; Ev 2 0 (-1) false], [3].
  split; [repeat constructor; easy|]. repeat split. exists 3. intros y [<-|[]]. reflexivity.
Qed.
