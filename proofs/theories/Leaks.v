(** * Who is wrong leaks

    What: runs in which a process reads what another wrote, for every scheme that is ever false exclusive.
    Idea: the MM that asks, x, touches a page and shares it with one of the others, y; the rest of the mappings are pages of their own.
    The scheme takes all for x's, every reference is a mapping, so x writes in place; y reads it. To a sum x's own mapping adds what
    it should, so a collision of others stays one when x joins. *)

From Coq Require Import ZArith List Bool Lia Permutation.
From Rmaplab Require Import Definitions Witnesses Statements System Bookkeeping Isolation IsolationSchemes Collisions.
Import ListNotations.
Open Scope Z_scope.

(** ** A run *)

(** From page [p] on, a page of its own for each of [rest]. *)
Fixpoint own_pages (p : Z) (rest : list Z) : list event :=
  match rest with [] => [] | m :: rest => Ev m p 1 false :: own_pages (p + 1) rest end.

Definition leaking (x y : Z) (rest : list Z) : list event := Ev x 0 1 false :: Ev y 0 1 false :: own_pages 1 rest.

Lemma own_pages_mappings rest : forall p ids, mappings_from ids (own_pages p rest) = Some (rev rest ++ ids).
Proof.
  induction rest as [|m rest IH]; intros p ids; [easy|]. change (mappings_from (m :: ids) (own_pages (p + 1) rest) = Some (rev (m :: rest) ++ ids)).
  rewrite IH. cbn. now rewrite <- app_assoc.
Qed.

Lemma leaking_mappings x y rest : mappings (leaking x y rest) = Some (rev rest ++ [y; x]).
Proof. exact (own_pages_mappings rest 1 [y; x]). Qed.

(** Only mappings of folio 0, none of page [p] or a later one. *)
Definition below (p : Z) (w : world) : Prop :=
  extra w 0 = 0 /\ forall v, In v (views w) -> pinned v = false /\ folio_of v = 0 /\ 0 <= page_of v < p.

Lemma pages_of_their_own j rest : forall p w, 1 <= p -> Forall (fun m => 1 <= m) rest -> reachable anything j w -> below p w ->
  exists w', reachable anything j w' /\ below (p + size rest) w' /\ history w' 0 = history w 0 ++ own_pages p rest /\
    content w' 0 0 = content w 0 0 /\ (forall v, In v (views w) -> In v (views w')).
Proof.
  induction rest as [|m rest IH]; intros p w hp real run [none low].
  - exists w. rewrite size_nil, Z.add_0_r, app_nil_r. repeat split; try easy; now apply low.
  - inversion real as [|? ? hm real']; subst.
    assert (free : batch (touch m 0) p (views w, content w) (View m 0 p false true 0 :: views w, store 0 p 0 (content w)) 1).
    { apply batch_one. constructor. intros v hv. destruct (low v hv) as (_ & _ & lt). unfold on_page.
      rewrite (proj2 (Z.eqb_neq (page_of v) p)) by lia. apply andb_false_r. }
    pose proof (Next _ _ _ _ run (fun _ => I) (Touch j w m 0 p 1 _ _ hm ltac:(lia) free)) as run1. clear free.
    match type of run1 with reachable _ _ ?w1 => set (next := w1) in * end.
    destruct (IH (p + 1) next ltac:(lia) real' run1) as (w' & run' & low' & hist & cont & kept).
    { split; [easy|]. intros v [<-|hv]; [cbn; lia|]. destruct (low v hv) as (pv & fv & lt). repeat split; lia || easy. }
    exists w'. rewrite size_cons. replace (p + (size rest + 1)) with (p + 1 + size rest) by lia.
    split; [easy|]. split; [easy|]. split; [|split].
    + rewrite hist. unfold next, log. cbn [history]. rewrite Z.eqb_refl, <- app_assoc. reflexivity.
    + rewrite cont. unfold next, store. cbn [content]. rewrite (proj2 (Z.eqb_neq 0 p)) by lia. reflexivity.
    + intros v hv. apply kept. now right.
Qed.

Lemma run_leaks P j x y rest : 1 <= x -> 1 <= y -> y <> x -> Forall (fun m => 1 <= m) rest -> size rest + 1 <= P ->
  says j (fold_left (learn j) (leaking x y rest) (fresh j)) x = EXCLUSIVE -> leaks P j.
Proof.
  intros hx hy ne real room said. pose proof (Start anything j) as r.
  pose proof (Next _ _ _ _ r (fun _ => I) (Touch j empty_world x 0 0 1 _ _ hx ltac:(lia)
    (batch_one _ _ _ _ (touch_first x 0 0 (content empty_world) 0)))) as r1.
  match type of r1 with reachable _ _ ?w =>
    pose proof (Next _ _ _ _ r1 (fun _ => I) (Share j w y 0 0 1 _ hy ltac:(lia)
      (batch_one _ _ _ _ (Copied y 0 0 (views w) (View x 0 0 false true 0) (or_introl eq_refl) eq_refl eq_refl eq_refl)))) as r2 end.
  match type of r2 with reachable _ _ ?w =>
    destruct (pages_of_their_own j rest 1 w ltac:(lia) real r2) as (w' & run & [none low] & hist & _ & kept) end.
  { split; [easy|]. intros v [<-|[<-|[]]]; cbn; lia. }
  set (mine := View x 0 0 false false 0). set (theirs := View y 0 0 false false 0).
  assert (keep : reuse j w' mine).
  { split; [cbn [folio_of mine]; rewrite hist; exact said|]. unfold refcount, mapcount. cbn [folio_of mine]. rewrite none, Z.add_0_r.
    rewrite (number_split (on_folio 0) pinned), number_none; [lia|]. intros v hv. destruct (low v hv) as (-> & _). apply andb_false_r. }
  pose proof (Next _ _ _ _ run (fun _ => I) (Write j w' mine 7 (kept mine (or_intror (or_introl eq_refl))) eq_refl (or_intror keep))) as end_run.
  match type of end_run with reachable _ _ ?w => exists w end. split; [exact end_run|]. split.
  - intros v (u & <- & hu)%in_map_iff. destruct (low u hu) as (_ & fu & pu). unfold written. destruct (_ && _); cbn [folio_of page_of]; lia.
  - intros iso. assert (here : In (written x 0 0 7 theirs) (map (written x 0 0 7) (views w'))) by (apply in_map, kept; now left).
    specialize (iso _ here). unfold written in iso. cbn in iso. rewrite (proj2 (Z.eqb_neq y x) ne) in iso. discriminate iso.
Qed.

(** ** Linear schemes: the MM that asks joins those who look like it *)

Lemma sum_permutation f p q : Permutation p q -> sum f p = sum f q.
Proof. induction 1; rewrite ?sum_cons; lia. Qed.

Lemma same_more modulus p q d : same modulus p q = true -> same modulus (p + d) (q + d) = true.
Proof. rewrite !same_spec. intros eq. now rewrite Zplus_mod, eq, <- Zplus_mod. Qed.

Lemma equation_joined s w o ids joined x : Permutation joined (x :: ids) ->
  equation s w o ids x = true -> equation s w o joined x = true.
Proof.
  intros perm.
  assert (sums : forall f, sum f joined = sum f ids + f x).
  { intros f. rewrite (sum_permutation f _ _ perm), sum_cons. lia. }
  assert (n : size joined = size ids + 1) by (rewrite <- !sum_one; apply sums).
  assert (more : forall modulus addends, all_same modulus (size ids) (map (fun a => sum a ids) addends) addends x = true ->
    all_same modulus (size joined) (map (fun a => sum a joined) addends) addends x = true).
  { intros modulus addends. rewrite !all_same_spec. intros all a ha. rewrite sums, n.
    replace ((size ids + 1) * a x) with (size ids * a x + a x) by lia. now apply same_more, all. }
  destruct s; unfold equation; try apply more.
  - rewrite n, !sums. unfold spread, square.
    match goal with |- same _ ?p _ = true -> same _ ?q _ = true => replace q with p by lia end. easy.
  - rewrite !andb_true_iff. intros [low high]. split; [|now apply more]. rewrite sums, n.
    replace ((size ids + 1) * x) with (size ids * x + x) by lia. now apply same_more.
Qed.

Lemma equation_gathered t es x : says (equation_judge t) (fold_left (learn (equation_judge t)) es (fresh (equation_judge t))) x =
  match mappings es with
  | Some ids => if (size ids <=? 2^order t) && equation (scheme t) (word_bits t) (order t) ids x then EXCLUSIVE else SHARED
  | None => UNKNOWN
  end.
Proof. cbn. now rewrite gathered. Qed.

(** Somebody else is among them. *)
Lemma somebody_else x ids : ~ exclusive_to x ids -> exists y, In y ids /\ y <> x.
Proof.
  induction ids as [|z ids IH]; intros no; [now elim no|]. destruct (Z.eq_dec z x) as [->|ne].
  - destruct IH as (y & hy & ney); [|now exists y; split; [right|]]. intros ex. apply no. intros u [<-|hu]; auto.
  - exists z. split; [now left|easy].
Qed.

Theorem collision_leaks_proved : collision_leaks.
Proof.
  intros t (good & _ & eq & no) room. destruct (somebody_else _ _ no) as (y & hy & ne).
  apply in_split in hy as (l & r & split_ids). rewrite split_ids in *.
  assert (real : Forall (fun m => 1 <= m) (asked t :: l ++ y :: r)) by (revert good; apply Forall_impl; now intros m []).
  apply Forall_cons_iff in real as [hx real]. apply Forall_app in real as [hl [hy hr]%Forall_cons_iff].
  assert (fewer : size (l ++ y :: r) = size (l ++ r) + 1) by (rewrite !size_app, size_cons; lia).
  apply (run_leaks _ _ (asked t) y (l ++ r)); [easy|easy|easy|now apply Forall_app|lia|].
  rewrite equation_gathered, leaking_mappings.
  assert (perm : Permutation (rev (l ++ r) ++ [y; asked t]) (asked t :: l ++ y :: r)).
  { rewrite (Permutation_app_comm _ [y; asked t]), <- Permutation_rev. cbn. rewrite perm_swap. apply perm_skip, Permutation_middle. }
  rewrite (equation_joined _ _ _ _ _ _ perm eq).
  assert (n : size (rev (l ++ r) ++ [y; asked t]) = size (l ++ y :: r) + 1).
  { unfold size. rewrite (Permutation_length perm). cbn [length]. lia. }
  rewrite n, (proj2 (Z.leb_le _ _)) by lia. reflexivity.
Qed.

Theorem witnesses_leak_proved : witnesses_leak.
Proof.
  apply Forall_forall. intros t ht. apply collision_leaks_proved.
  - pose proof witnesses_collide_proved as all. unfold witnesses_collide in all. rewrite Forall_forall in all. exact (all t ht).
  - change (witness_ids t) with (mappings_of (mapped t)). rewrite size_weighed. revert t ht.
    assert (few : forallb (fun t => weighed (fun _ => 1) (mapped t) <? 2^order t) witnesses = true) by (vm_compute; reflexivity).
    intros t ht. apply Z.ltb_lt. exact (proj1 (forallb_forall _ _) few t ht).
Qed.

(** [seventy] without the one that shares a page with MM 85. *)
Definition sixty_nine : list Z := repeat 43 13 ++ repeat 77 28 ++ repeat 105 26 ++ repeat 232 2.

Theorem posted_leaks_proved : posted_leaks.
Proof.
  intros o ho. apply (run_leaks _ _ 85 43 sixty_nine); [lia|lia|lia| | |].
  - apply Forall_forall. intros m hm. apply Z.leb_le. revert m hm. apply forallb_forall. vm_compute. reflexivity.
  - pose proof (Z.pow_le_mono_r 2 7 o ltac:(lia) ltac:(lia)). change (size sixty_nine) with 69. change (2^7) with 128 in *. lia.
  - rewrite posted_says. assert (cases : o = 7 \/ o = 8 \/ o = 9) by lia. destruct cases as [->|[->| ->]]; vm_compute; reflexivity.
Qed.

(** ** The heuristics: MM 1 maps two pages, its child gets the second; the scheme looks at the first. *)

Lemma first_page_leaks answer : answer (FirstPage 3 0 1) = EXCLUSIVE -> leaks 2 (first_page_judge answer).
Proof.
  intros said. set (j := first_page_judge answer).
  pose proof (Start anything j) as r.
  assert (two : batch (touch 1 0) 0 (views empty_world, content empty_world)
    ([View 1 0 1 false true 0; View 1 0 0 false true 0], store 0 1 0 (store 0 0 0 (content empty_world))) 2).
  { apply (Another (touch 1 0) 0 _ _ _ 1 (touch_first 1 0 0 _ 0)), batch_one. constructor. intros v [<-|[]]. reflexivity. }
  pose proof (Next _ _ _ _ r (fun _ => I) (Touch j empty_world 1 0 0 2 _ _ ltac:(lia) ltac:(lia) two)) as r2. clear two.
  cbn [views content extra history empty_world] in r2.
  match type of r2 with reachable _ _ ?w =>
    pose proof (Next _ _ _ _ r2 (fun _ => I) (Share j w 2 0 1 1 _ ltac:(lia) ltac:(lia)
      (batch_one _ _ _ _ (Copied 2 0 1 (views w) (View 1 0 1 false true 0) (or_introl eq_refl) eq_refl eq_refl eq_refl)))) as r3 end.
  match type of r3 with reachable _ _ ?w =>
    assert (keep : reuse j w (View 1 0 1 false false 0)) by (split; [exact said|reflexivity]);
    pose proof (Next _ _ _ _ r3 (fun _ => I)
      (Write j w (View 1 0 1 false false 0) 7 (or_intror (or_introl eq_refl)) eq_refl (or_intror keep))) as r4 end.
  match type of r4 with reachable _ _ ?w => exists w end. split; [exact r4|]. split.
  - intros v [<-|[<-|[<-|[]]]]; cbn; lia.
  - intros iso. specialize (iso (View 2 0 1 false false 0) (or_introl eq_refl)). discriminate iso.
Qed.

Theorem estimated_sharers_leaks_proved : estimated_sharers_leaks.
Proof. now apply first_page_leaks. Qed.

Theorem likely_shared_leaks_proved : likely_shared_leaks.
Proof.
  intros o ho. apply first_page_leaks. pose proof (Z.pow_le_mono_r 2 2 o ltac:(lia) ho) as room. unfold likely_shared_verdict. cbn.
  rewrite (proj2 (Z.ltb_ge (2^o) 3)); [reflexivity|]. change (2^2) with 4 in room. lia.
Qed.
