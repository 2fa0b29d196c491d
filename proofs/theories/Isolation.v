(** * No process reads another's write

    What: the invariant of all reachable worlds.
    Idea: a writable entry is alone on its page but for views of its own MM. Reuse makes one only where every view of the
    folio is a mapping (the references say so) of that MM (the scheme says so). *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements System Bookkeeping Linear Values MmId Counters MomentsFlag Reuse.
Import ListNotations.
Open Scope Z_scope.

(** ** Counting views *)

Lemma number_cons s v vs : number s (v :: vs) = (if s v then 1 else 0) + number s vs.
Proof. unfold number. cbn. destruct (s v); cbn [length]; lia. Qed.

Lemma number_middle s before v after :
  number s (before ++ v :: after) = (if s v then 1 else 0) + number s (before ++ after).
Proof. unfold number. rewrite !filter_app, !app_length. cbn. destruct (s v); cbn [length]; lia. Qed.

Lemma number_nonneg s vs : 0 <= number s vs.
Proof. unfold number. lia. Qed.

Lemma number_map s g vs : (forall v, s (g v) = s v) -> number s (map g vs) = number s vs.
Proof. intros same. induction vs as [|v vs IH]; [easy|]. cbn [map]. now rewrite !number_cons, same, IH. Qed.

Lemma number_pos s v vs : In v vs -> s v = true -> 0 < number s vs.
Proof.
  intros hv hs. apply in_split in hv as (a & b & ->). rewrite number_middle, hs.
  pose proof (number_nonneg s (a ++ b)). lia.
Qed.

Lemma number_split s t vs : number s vs = number (fun v => s v && t v) vs + number (fun v => s v && negb (t v)) vs.
Proof. induction vs as [|v vs IH]; [easy|]. rewrite !number_cons, IH. destruct (s v), (t v); cbn [andb negb]; lia. Qed.

(** ** The invariant *)

Definition maps (m f : Z) (v : view) : bool := on_folio f v && negb (pinned v) && (owner_of v =? m).

Definition tracked (vs : list view) (f : Z) (es : list event) : Prop :=
  real_mms es /\ exists ids, mappings es = Some ids /\ forall m, count m ids = number (maps m f) vs.

Definition alone (vs : list view) : Prop := forall u v, In u vs -> In v vs -> writable v = true ->
  on_page (folio_of v) (page_of v) u = true -> owner_of u = owner_of v.

Definition ok (w : world) : Prop :=
  isolated w /\ alone (views w) /\ (forall v, In v (views w) -> 1 <= owner_of v) /\
  (forall f, 0 <= extra w f) /\ forall f, tracked (views w) f (history w f).

Lemma on_page_spec f p v : on_page f p v = true <-> folio_of v = f /\ page_of v = p.
Proof. unfold on_page. rewrite andb_true_iff, !Z.eqb_eq. reflexivity. Qed.

(** One more event, one more or one less mapping. *)
Lemma tracked_step vs vs' f e es : 1 <= mm e -> tracked vs f es -> step (match mappings es with Some i => i | None => [] end) e <> None ->
  (forall m, number (maps m f) vs' = number (maps m f) vs + (if mm e =? m then nr e else 0)) ->
  tracked vs' f (es ++ [e]).
Proof.
  intros hm (real & ids & em & all) fine grows. split; [apply Forall_app; now split; [|constructor]|].
  rewrite em in fine. destruct (step ids e) as [rest|] eqn:es1; [|easy]. exists rest. split.
  - unfold mappings in *. rewrite mappings_from_app, em. cbn. now rewrite es1.
  - intros m. rewrite (step_count _ _ _ _ es1), all, grows. reflexivity.
Qed.

Lemma tracked_same vs vs' f es : (forall m, number (maps m f) vs' = number (maps m f) vs) ->
  tracked vs f es -> tracked vs' f es.
Proof. intros same (real & ids & em & all). split; [easy|]. exists ids. split; [easy|]. intros m. now rewrite same. Qed.

Lemma step_maps ids m p : step ids (Ev m p 1 false) <> None.
Proof. now unfold step. Qed.

(** Where a COW fault keeps the page, all views of the folio are the writer's. *)
Lemma reuse_all_mine room j w v u : never_false_exclusive room j -> ok w -> (forall f, room (history w f)) ->
  In v (views w) -> pinned v = false -> reuse j w v -> In u (views w) -> folio_of u = folio_of v ->
  owner_of u = owner_of v.
Proof.
  intros never (_ & _ & _ & some & all) has hv pv [says_so refs] hu fu.
  set (f := folio_of v) in *. destruct (all f) as (real & ids & em & counts).
  assert (pu : pinned u = false).
  { destruct (pinned u) eqn:pu; [|easy]. unfold refcount, mapcount in refs.
    rewrite (number_split (on_folio f) pinned) in refs. specialize (some f).
    pose proof (number_pos (fun v => on_folio f v && pinned v) u (views w) hu) as more.
    unfold on_folio in more at 1. rewrite fu, pu, Z.eqb_refl in more. specialize (more eq_refl). lia. }
  assert (among : forall z, In z (views w) -> folio_of z = f -> pinned z = false -> In (owner_of z) ids).
  { intros z hz fz pz. apply count_pos. rewrite counts. apply (number_pos _ z); [easy|].
    unfold maps, on_folio. now rewrite fz, pz, !Z.eqb_refl. }
  exact (never _ _ _ (has f) real em (among v hv eq_refl pv) says_so _ (among u hu fu pu)).
Qed.

Lemma maps_protect f p m g v : maps m g (protect f p v) = maps m g v.
Proof. unfold protect. now destruct (on_page f p v). Qed.

Lemma maps_written m f p x n g v : maps n g (written m f p x v) = maps n g v.
Proof. unfold written. now destruct (on_page f p v && _). Qed.

(** A view made, or gone, on another folio. *)
Lemma maps_elsewhere m f v : folio_of v <> f -> maps m f v = false.
Proof. intros ne. unfold maps, on_folio. now rewrite (proj2 (Z.eqb_neq _ _) ne). Qed.

Lemma maps_here m v : pinned v = false -> maps m (folio_of v) v = (owner_of v =? m).
Proof. intros pv. unfold maps, on_folio. now rewrite pv, Z.eqb_refl. Qed.

Lemma tracked_new w v vs : pinned v = false -> 1 <= owner_of v ->
  (forall f, tracked (views w) f (history w f)) -> (forall m f, number (maps m f) vs = number (maps m f) (views w)) ->
  forall f, tracked (v :: vs) f (log (folio_of v) (Ev (owner_of v) (page_of v) 1 false) (history w) f).
Proof.
  intros pv ho all same f. unfold log. destruct (Z.eqb_spec f (folio_of v)) as [->|ne].
  - apply (tracked_step (views w)); [easy|easy|apply step_maps|]. intros m.
    rewrite number_cons, same, maps_here by easy. cbn [mm nr]. lia.
  - apply (tracked_same (views w)); [|easy]. intros m. rewrite number_cons, same, maps_elsewhere by congruence. lia.
Qed.

Lemma move_ok room j w w' : never_false_exclusive room j -> (forall f, room (history w f)) ->
  ok w -> move j w w' -> ok w'.
Proof.
  intros never has good m. pose proof good as (iso & al & own & some & all).
  destruct m as [m f p x hm none|v child hc hv pv|v hv pv|before v after eq pv|before v after eq pv|f k hk|v x hv pv how];
    unfold ok, isolated in *; cbn [views content extra history].
  - (* Touch *)
    assert (apart : forall v, In v (views w) -> ~ (folio_of v = f /\ page_of v = p)).
    { intros v hv same. apply on_page_spec in same. now rewrite none in same. }
    split; [|split; [|split; [|split; [easy|]]]].
    + intros v [<-|hv]; cbn; unfold store; [now rewrite !Z.eqb_refl|].
      specialize (apart v hv). destruct (Z.eqb_spec (folio_of v) f), (Z.eqb_spec (page_of v) p); cbn; first [now apply iso|now elim apart].
    + intros u v [<-|hu] [<-|hv] wr here; [easy| | |now apply al].
      * apply on_page_spec in here as [e1 e2]. cbn in *. elim (apart v hv). split; congruence.
      * apply on_page_spec in here. cbn in here. elim (apart u hu). easy.
    + intros v [<-|hv]; [easy|auto].
    + exact (tracked_new w (View m f p false true x) (views w) eq_refl hm all (fun _ _ => eq_refl)).
  - (* Share *)
    set (q := protect (folio_of v) (page_of v)).
    assert (same : forall u, owner_of (q u) = owner_of u /\ folio_of (q u) = folio_of u /\ page_of (q u) = page_of u /\ seen (q u) = seen u)
      by (intros u; unfold q, protect; now destruct (on_page _ _ u)).
    assert (wr : forall u, writable (q u) = true -> writable u = true /\ on_page (folio_of v) (page_of v) u = false)
      by (intros u; unfold q, protect; destruct (on_page _ _ u) eqn:here; [easy|now split]).
    split; [|split; [|split; [|split; [easy|]]]].
    + intros u [<-|(z & <- & hz)%in_map_iff]; [exact (iso v hv)|]. destruct (same z) as (_ & -> & -> & ->). now apply iso.
    + intros u z hu hz. assert (hz' : writable z = true -> exists y, z = q y /\ In y (views w)).
      { destruct hz as [<-|(y & <- & hy)%in_map_iff]; [easy|now exists y]. }
      intros wz here. destruct (hz' wz) as (y & -> & hy). apply wr in wz as [wy away].
      apply on_page_spec in here as [e1 e2]. destruct (same y) as (oy & fy & py & _). rewrite fy, py in *. rewrite oy.
      destruct hu as [<-|(t & <- & ht)%in_map_iff].
      * exfalso. cbn in e1, e2. enough (on_page (folio_of v) (page_of v) y = true) by congruence. now apply on_page_spec.
      * destruct (same t) as (ot & ft & pt & _). rewrite ft, pt, ot in *. apply al; [easy..|]. now apply on_page_spec.
    + intros u [<-|(z & <- & hz)%in_map_iff]; [easy|]. destruct (same z) as (-> & _). auto.
    + apply (tracked_new w (View child (folio_of v) (page_of v) false false (seen v))); [easy..|].
      intros m f. apply number_map. intros u. apply maps_protect.
  - (* Pin *)
    split; [|split; [|split; [|split; [easy|]]]].
    + intros u [<-|hu]; [exact (iso v hv)|now apply iso].
    + intros u z [<-|hu] [<-|hz] wz here; [easy| |easy|now apply al]. cbn in *. apply al; [easy..|].
      apply on_page_spec. now apply on_page_spec in here.
    + intros u [<-|hu]; [cbn|]; auto.
    + intros f. apply (tracked_same (views w)); [|easy]. intros m. rewrite number_cons. unfold maps at 1. cbn [pinned negb].
      now rewrite andb_false_r.
  - (* Unmap *)
    assert (sub : forall u, In u (before ++ after) -> In u (views w)).
    { intros u hu. rewrite eq. apply in_app_iff in hu as [|]; apply in_app_iff; [now left|right; now right]. }
    split; [|split; [|split; [|split; [easy|]]]]; auto.
    + intros u z hu hz. apply al; auto.
    + intros f. unfold log. destruct (Z.eqb_spec f (folio_of v)) as [->|ne].
      * destruct (all (folio_of v)) as (real & ids & em & counts).
        assert (hv : In v (views w)) by (rewrite eq; apply in_elt).
        apply (tracked_step (views w)); [now apply own|now split; [|exists ids]| |].
        -- rewrite em. intros no%truth_refuses_proved. cbn [mm nr] in no. rewrite counts in no.
           pose proof (number_pos (maps (owner_of v) (folio_of v)) v (views w) hv) as pos.
           rewrite maps_here, Z.eqb_refl in pos by easy. specialize (pos eq_refl). lia.
        -- intros m. rewrite eq, number_middle, maps_here by easy. cbn [mm nr]. destruct (owner_of v =? m); lia.
      * apply (tracked_same (views w)); [|easy]. intros m. rewrite eq, number_middle, maps_elsewhere by congruence. lia.
  - (* Unpin *)
    assert (sub : forall u, In u (before ++ after) -> In u (views w)).
    { intros u hu. rewrite eq. apply in_app_iff in hu as [|]; apply in_app_iff; [now left|right; now right]. }
    split; [|split; [|split; [|split; [easy|]]]]; auto.
    + intros u z hu hz. apply al; auto.
    + intros f. apply (tracked_same (views w)); [|easy]. intros m. rewrite eq, number_middle. unfold maps at 2. rewrite pv.
      now rewrite andb_false_r.
  - (* Hold *)
    split; [easy|]. split; [easy|]. split; [easy|]. split; [|easy]. intros g. destruct (g =? f); auto.
  - (* Write *)
    set (g := written (owner_of v) (folio_of v) (page_of v) x).
    assert (mine : forall u, In u (views w) -> on_page (folio_of v) (page_of v) u = true -> owner_of u = owner_of v).
    { intros u hu here. destruct how as [wr|re]; [now apply al|].
      apply (reuse_all_mine room j w v u never good has hv pv re hu). now apply on_page_spec in here. }
    assert (same : forall u, owner_of (g u) = owner_of u /\ folio_of (g u) = folio_of u /\ page_of (g u) = page_of u)
      by (intros u; unfold g, written; now destruct (on_page _ _ u && _)).
    assert (hit : forall u, In u (views w) -> on_page (folio_of v) (page_of v) u = true -> seen (g u) = x).
    { intros u hu here. unfold g, written. now rewrite here, (mine u hu here), Z.eqb_refl. }
    assert (miss : forall u, on_page (folio_of v) (page_of v) u = false -> g u = u)
      by (intros u here; unfold g, written; now rewrite here).
    split; [|split; [|split; [|split; [easy|]]]].
    + intros u (z & <- & hz)%in_map_iff. destruct (same z) as (_ & fz & pz). rewrite fz, pz. unfold store.
      destruct (on_page (folio_of v) (page_of v) z) eqn:here.
      * rewrite hit by easy. unfold on_page in here. now rewrite here.
      * rewrite miss by easy. unfold on_page in here. rewrite here. now apply iso.
    + intros u z (u' & <- & hu)%in_map_iff (z' & <- & hz)%in_map_iff wz here.
      apply on_page_spec in here as [e1 e2].
      destruct (same u') as (ou & fu & pu), (same z') as (oz & fz & pz).
      rewrite fu, fz in e1. rewrite pu, pz in e2. rewrite ou, oz.
      destruct (on_page (folio_of v) (page_of v) z') eqn:at_z.
      * rewrite (mine z' hz at_z). apply mine; [easy|]. apply on_page_spec in at_z as [e3 e4]. apply on_page_spec.
        now rewrite e1, e2.
      * rewrite (miss z' at_z) in wz. apply al; [easy..|]. now apply on_page_spec.
    + intros u (z & <- & hz)%in_map_iff. destruct (same z) as (-> & _). auto.
    + intros f. apply (tracked_same (views w)); [|easy]. intros m. apply number_map. intros u. apply maps_written.
Qed.

Lemma reachable_ok room j w : never_false_exclusive room j -> reachable room j w -> ok w.
Proof.
  intros never reach. induction reach as [|w w' _ IH has m].
  - split; [intros v []|]. split; [intros u v []|]. split; [intros v []|]. split; [easy|].
    intros f. split; [constructor|]. exists []. split; [easy|]. intros m. reflexivity.
  - exact (move_ok room j w w' never has IH m).
Qed.

Theorem non_interference_proved : non_interference.
Proof. intros room j never w reach. exact (proj1 (reachable_ok room j w never reach)). Qed.

Lemma number_none s vs : (forall v, In v vs -> s v = false) -> number s vs = 0.
Proof.
  induction vs as [|v vs IH]; [easy|]. intros none. rewrite number_cons, IH, (none v); [easy|now left|].
  intros u hu. apply none. now right.
Qed.

Theorem liveness_proved : liveness.
Proof.
  intros room j w v never right reach has hv pv mine none.
  destruct (reachable_ok room j w never reach) as (_ & _ & _ & _ & all).
  destruct (all (folio_of v)) as (real & ids & em & counts). split.
  - apply (right _ ids); [easy..| |].
    + apply count_pos. rewrite counts. apply (number_pos _ v); [easy|]. now rewrite maps_here, Z.eqb_refl.
    + intros m hm. apply count_pos in hm. rewrite counts in hm. destruct (Z.eq_dec m (owner_of v)) as [|ne]; [easy|].
      rewrite number_none in hm; [lia|]. intros u hu. unfold maps, on_folio.
      destruct (Z.eqb_spec (folio_of u) (folio_of v)) as [eq|]; [|easy]. destruct (mine u hu eq) as [-> ->].
      now rewrite (proj2 (Z.eqb_neq _ _) (fun e => ne (eq_sym e))).
  - unfold refcount, mapcount. rewrite none, (number_split (on_folio (folio_of v)) pinned), number_none; [lia|].
    intros u hu. unfold on_folio. destruct (Z.eqb_spec (folio_of u) (folio_of v)) as [eq|]; [|easy].
    now destruct (mine u hu eq) as [_ ->].
Qed.

Lemma told_events id j es : forall s, fold_left (learn (told id j)) es s = fold_left (learn j) (map (rename id) es) s.
Proof. induction es as [|e es IH]; intros s; [easy|]. cbn. apply IH. Qed.

Theorem non_interference_with_reused_ids_proved : non_interference_with_reused_ids.
Proof.
  intros id room j never pos w. apply non_interference_proved.
  intros es mms x [has apart] _ em hx said. cbn in said.
  change (fold_left (fun s e => learn j s (rename id e)) es (fresh j)) with (fold_left (learn (told id j)) es (fresh j)) in said.
  rewrite told_events in said. destruct (id_reuse_safe_proved id es mms apart em) as (em' & _ & one).
  apply one.
  - intros p q hp hq eq. apply (always_end _ _ _ _ apart em); [| |easy]; [destruct hp as [<-|]|destruct hq as [<-|]]; easy.
  - apply (never (map (rename id) es)); [easy| |easy|now apply in_map|easy].
    apply Forall_forall. intros e (d & <- & _)%in_map_iff. apply pos.
Qed.
