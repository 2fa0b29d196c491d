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

Definition neat (vs : list view) (c : Z -> Z -> Z) : Prop :=
  (forall v, In v vs -> c (folio_of v) (page_of v) = seen v) /\ alone vs /\ (forall v, In v vs -> 1 <= owner_of v).

Definition ok (w : world) : Prop :=
  neat (views w) (content w) /\ (forall f, 0 <= extra w f) /\ forall f, tracked (views w) f (history w f).

Lemma on_page_spec f p v : on_page f p v = true <-> folio_of v = f /\ page_of v = p.
Proof. unfold on_page. rewrite andb_true_iff, !Z.eqb_eq. reflexivity. Qed.

Lemma tracked_same vs vs' f es : (forall m, number (maps m f) vs' = number (maps m f) vs) ->
  tracked vs f es -> tracked vs' f es.
Proof. intros same (real & ids & em & all). split; [easy|]. exists ids. split; [easy|]. intros m. now rewrite same. Qed.

(** Where a COW fault keeps the page, all views of the folio are the writer's. *)
Lemma reuse_all_mine room j w v u : never_false_exclusive room j -> ok w -> (forall f, room (history w f)) ->
  In v (views w) -> pinned v = false -> reuse j w v -> In u (views w) -> folio_of u = folio_of v ->
  owner_of u = owner_of v.
Proof.
  intros never (_ & some & all) has hv pv [says_so refs] hu fu.
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

Lemma maps_is n g v : pinned v = false -> maps n g v = (folio_of v =? g) && (owner_of v =? n).
Proof. intros pv. unfold maps, on_folio. now rewrite pv, andb_true_r. Qed.

(** One more event, as many mappings more or less. *)
Lemma tracked_log w vs f e : 1 <= mm e -> nr e <> 0 -> (forall g, tracked (views w) g (history w g)) ->
  (forall n g, number (maps n g) vs = number (maps n g) (views w) + (if (f =? g) && (mm e =? n) then nr e else 0)) ->
  forall g, tracked vs g (log f e (history w) g).
Proof.
  intros hm some all grows g. unfold log. destruct (Z.eqb_spec g f) as [->|ne].
  - destruct (all f) as (real & ids & em & counts). split; [apply Forall_app; now split; [|constructor]|].
    destruct (step ids e) as [rest|] eqn:es.
    + exists rest. split; [unfold mappings in *; rewrite mappings_from_app, em; cbn; now rewrite es|].
      intros n. rewrite (step_count _ _ _ _ es), counts, grows, Z.eqb_refl. reflexivity.
    + exfalso. apply truth_refuses_proved in es as [zero|less]; [easy|]. rewrite counts in less.
      pose proof (grows (mm e) f) as sum. rewrite !Z.eqb_refl in sum. cbn [andb] in sum.
      pose proof (number_nonneg (maps (mm e) f) vs). lia.
  - apply (tracked_same (views w)); [|easy]. intros n. rewrite grows, (proj2 (Z.eqb_neq f g)) by congruence. cbn [andb]. lia.
Qed.

(** ** Several pages at once *)

Lemma batch_nonneg {S} (each : Z -> S -> S -> Prop) p (s s' : S) k : batch each p s s' k -> 0 <= k.
Proof. induction 1; lia. Qed.

(** What one page keeps, several keep; what one adds, [k] add [k] times. *)
Lemma batch_keeps {S} (good : S -> Prop) (amount : S -> Z) (each : Z -> S -> S -> Prop) d : (forall p s s', good s -> each p s s' -> good s' /\ amount s' = amount s + d) ->
  forall p s s' k, batch each p s s' k -> good s -> good s' /\ amount s' = amount s + k * d.
Proof.
  intros one p s s' k b. induction b as [p s|p s s' s'' k e b IH]; intros g; [split; [easy|lia]|].
  destruct (one p s s' g e) as [g' a']. destruct (IH g') as [g'' a'']. split; [easy|lia].
Qed.

Definition adds (m f n g d : Z) : Z := if (f =? g) && (m =? n) then d else 0.

Lemma adds_times m f n g k d : k * adds m f n g d = adds m f n g (k * d).
Proof. unfold adds. destruct (_ && _); lia. Qed.

Lemma touch_keeps m f p s s' n g : 1 <= m -> neat (fst s) (snd s) -> touch m f p s s' ->
  neat (fst s') (snd s') /\ number (maps n g) (fst s') = number (maps n g) (fst s) + adds m f n g 1.
Proof.
  intros hm good t. destruct t as [vs c x none] in good |- *. cbn [fst snd] in *. destruct good as (iso & al & own).
  assert (apart : forall v, In v vs -> ~ (folio_of v = f /\ page_of v = p)).
  { intros v hv same. apply on_page_spec in same. now rewrite none in same. }
  split; [split; [|split]|].
  - intros v [<-|hv]; cbn; unfold store; [now rewrite !Z.eqb_refl|].
    specialize (apart v hv). destruct (Z.eqb_spec (folio_of v) f), (Z.eqb_spec (page_of v) p); cbn; first [now apply iso|now elim apart].
  - intros u v [<-|hu] [<-|hv] wr here; [easy| | |now apply al].
    + apply on_page_spec in here as [e1 e2]. cbn in *. elim (apart v hv). split; congruence.
    + apply on_page_spec in here. cbn in here. elim (apart u hu). easy.
  - intros v [<-|hv]; [easy|auto].
  - rewrite number_cons, maps_is by easy. cbn [folio_of owner_of]. unfold adds. lia.
Qed.

Lemma copy_keeps child f p vs vs' c n g : 1 <= child -> neat vs c -> copy child f p vs vs' ->
  neat vs' c /\ number (maps n g) vs' = number (maps n g) vs + adds child f n g 1.
Proof.
  intros hc (iso & al & own) [v hv fv ev pv]. set (q := protect f p).
  assert (same : forall u, owner_of (q u) = owner_of u /\ folio_of (q u) = folio_of u /\ page_of (q u) = page_of u /\ seen (q u) = seen u)
    by (intros u; unfold q, protect; now destruct (on_page _ _ u)).
  assert (wr : forall u, writable (q u) = true -> writable u = true /\ on_page f p u = false)
    by (intros u; unfold q, protect; destruct (on_page _ _ u) eqn:here; [easy|now split]).
  split; [split; [|split]|].
  - intros u [<-|(z & <- & hz)%in_map_iff]; [cbn; rewrite <- fv, <- ev; exact (iso v hv)|].
    destruct (same z) as (_ & -> & -> & ->). now apply iso.
  - intros u z hu hz. assert (hz' : writable z = true -> exists y, z = q y /\ In y vs).
    { destruct hz as [<-|(y & <- & hy)%in_map_iff]; [easy|now exists y]. }
    intros wz here. destruct (hz' wz) as (y & -> & hy). apply wr in wz as [wy away].
    apply on_page_spec in here as [e1 e2]. destruct (same y) as (oy & fy & py & _). rewrite fy, py in *. rewrite oy.
    destruct hu as [<-|(t & <- & ht)%in_map_iff].
    + exfalso. cbn in e1, e2. enough (on_page f p y = true) by congruence. now apply on_page_spec.
    + destruct (same t) as (ot & ft & pt & _). rewrite ft, pt, ot in *. apply al; [easy..|]. now apply on_page_spec.
  - intros u [<-|(z & <- & hz)%in_map_iff]; [easy|]. destruct (same z) as (-> & _). auto.
  - rewrite number_cons, maps_is, number_map by (easy || intros; apply maps_protect). cbn [folio_of owner_of]. unfold adds. lia.
Qed.

Lemma neat_sub vs vs' c : (forall u, In u vs' -> In u vs) -> neat vs c -> neat vs' c.
Proof. intros sub (iso & al & own). split; [|split]; auto. intros u z hu hz. apply al; auto. Qed.

Lemma in_rest (u v : view) before after : In u (before ++ after) -> In u (before ++ v :: after).
Proof. intros [|]%in_app_iff; apply in_app_iff; [now left|right; now right]. Qed.

Lemma drop_keeps m f p vs vs' c n g : neat vs c -> drop m f p vs vs' ->
  neat vs' c /\ number (maps n g) vs' = number (maps n g) vs + adds m f n g (-1).
Proof.
  intros good t. destruct t as [before v after ov fv _ pv] in good |- *. split.
  - apply (neat_sub (before ++ v :: after)); [intros u; apply in_rest|easy].
  - rewrite number_middle, maps_is, ov, fv by easy. unfold adds. destruct (_ && _); lia.
Qed.

Lemma move_ok room j w w' : never_false_exclusive room j -> (forall f, room (history w f)) ->
  ok w -> move j w w' -> ok w'.
Proof.
  intros never has good m. pose proof good as (tidy & some & all). pose proof tidy as (iso & al & own).
  destruct m as [m f p k vs c hm hk b|child f p k vs hc hk b|v hv pv|m f p k vs hk b|before v after eq pv|f k hk|v x hv pv how];
    unfold ok; cbn [views content extra history].
  - (* Touch *)
    pose proof (fun n g => batch_keeps (fun s => neat (fst s) (snd s)) (fun s => number (maps n g) (fst s)) _ _
      (fun q s s' => touch_keeps m f q s s' n g hm) p _ _ k b tidy) as keeps.
    split; [exact (proj1 (keeps 0 0))|]. split; [easy|]. apply tracked_log; cbn [mm nr]; [easy|lia|easy|].
    intros n g. pose proof (proj2 (keeps n g)) as more. cbn beta iota delta [fst] in more. rewrite more, adds_times, Z.mul_1_r. reflexivity.
  - (* Share *)
    pose proof (fun n g => batch_keeps (fun s => neat s (content w)) (fun s => number (maps n g) s) _ _
      (fun q s s' => copy_keeps child f q s s' (content w) n g hc) p _ _ k b tidy) as keeps.
    split; [exact (proj1 (keeps 0 0))|]. split; [easy|]. apply tracked_log; cbn [mm nr]; [easy|lia|easy|].
    intros n g. pose proof (proj2 (keeps n g)) as more. cbn beta in more. rewrite more, adds_times, Z.mul_1_r. reflexivity.
  - (* Pin *)
    split; [split; [|split]|split; [easy|]].
    + intros u [<-|hu]; [exact (iso v hv)|now apply iso].
    + intros u z [<-|hu] [<-|hz] wz here; [easy| |easy|now apply al]. cbn in *. apply al; [easy..|].
      apply on_page_spec. now apply on_page_spec in here.
    + intros u [<-|hu]; [cbn|]; auto.
    + intros f. apply (tracked_same (views w)); [|easy]. intros m. rewrite number_cons. unfold maps at 1. cbn [pinned negb].
      now rewrite andb_false_r.
  - (* Unmap *)
    pose proof (fun n g => batch_keeps (fun s => neat s (content w)) (fun s => number (maps n g) s) _ _
      (fun q s s' => drop_keeps m f q s s' (content w) n g) p _ _ k b tidy) as keeps.
    split; [exact (proj1 (keeps 0 0))|]. split; [easy|]. apply tracked_log; cbn [mm nr]; [|lia|easy|].
    + destruct b as [|q s s' s'' k [before v after <- _ _ _] _]; [lia|]. apply own, in_elt.
    + intros n g. pose proof (proj2 (keeps n g)) as more. cbn beta in more. rewrite more, adds_times. unfold adds. destruct (_ && _); lia.
  - (* Unpin *)
    split; [apply (neat_sub (views w)); [rewrite eq; intros u; apply in_rest|easy]|]. split; [easy|].
    intros f. apply (tracked_same (views w)); [|easy]. intros m. rewrite eq, number_middle. unfold maps at 2. rewrite pv.
    now rewrite andb_false_r.
  - (* Hold *)
    split; [easy|]. split; [|easy]. intros g. destruct (g =? f); auto.
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
    split; [split; [|split]|split; [easy|]].
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
  - split; [split; [intros v []|split; [intros u v []|intros v []]]|]. split; [easy|].
    intros f. split; [constructor|]. exists []. split; [easy|]. intros m. reflexivity.
  - exact (move_ok room j w w' never has IH m).
Qed.

Theorem non_interference_proved : non_interference.
Proof. intros room j never w reach. exact (proj1 (proj1 (reachable_ok room j w never reach))). Qed.

Lemma number_none s vs : (forall v, In v vs -> s v = false) -> number s vs = 0.
Proof.
  induction vs as [|v vs IH]; [easy|]. intros none. rewrite number_cons, IH, (none v); [easy|now left|].
  intros u hu. apply none. now right.
Qed.

Theorem liveness_proved : liveness.
Proof.
  intros room now j never right w v reach has at_once (hv & pv & none & mine).
  destruct (reachable_ok room j w never reach) as (_ & _ & all).
  destruct (all (folio_of v)) as (real & ids & em & counts). split.
  - apply (right _ ids); [easy..| |].
    + apply count_pos. rewrite counts. apply (number_pos _ v); [easy|]. now rewrite maps_is, !Z.eqb_refl.
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

Lemma told_never id room j : (forall m, 1 <= id m) -> never_false_exclusive room j ->
  never_false_exclusive (told_room id room) (told id j).
Proof.
  intros pos never es mms x [has apart] _ em hx said. cbn in said.
  change (fold_left (fun s e => learn j s (rename id e)) es (fresh j)) with (fold_left (learn (told id j)) es (fresh j)) in said.
  rewrite told_events in said. destruct (id_reuse_safe_proved id es mms apart em) as (em' & _ & one).
  apply one.
  - intros p q hp hq eq. apply (always_end _ _ _ _ apart em); [| |easy]; [destruct hp as [<-|]|destruct hq as [<-|]]; easy.
  - apply (never (map (rename id) es)); [easy| |easy|now apply in_map|easy].
    apply Forall_forall. intros e (d & <- & _)%in_map_iff. apply pos.
Qed.

Theorem non_interference_with_reused_ids_proved : non_interference_with_reused_ids.
Proof. intros id room j never pos w. now apply non_interference_proved, told_never. Qed.
