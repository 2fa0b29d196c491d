(** * Which schemes keep processes apart, and which leak *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements System Bookkeeping Linear Values MmId Counters MomentsFlag Isolation.
Import ListNotations.
Open Scope Z_scope.

Lemma mapper_is_owner x ids : exclusive ids -> In x ids -> exclusive_to x ids.
Proof. intros ex hx. apply exclusive_mapper; [easy|]. now apply count_pos. Qed.

Theorem mm_id_isolates_proved : mm_id_isolates.
Proof.
  intros w. apply non_interference_proved. intros es ids x _ real em hx said.
  apply mapper_is_owner; [|easy]. exact (mm_id_never_false_exclusive_proved es ids real em said).
Qed.

Theorem owner_counter_isolates_proved : owner_counter_isolates.
Proof.
  intros w. apply non_interference_proved. intros es ids x _ real em hx said.
  exact (owner_counter_never_false_exclusive_proved es ids x real em said).
Qed.

Theorem moments_flag_isolates_proved : moments_flag_isolates.
Proof.
  intros ws wq b N w. apply non_interference_proved. intros es ids x pre real em hx said.
  apply mapper_is_owner; [|easy]. exact (moments_flag_never_false_exclusive_proved ws wq b N es ids pre em said).
Qed.

Lemma gathered (es : list event) : forall before, fold_left (fun es e => es ++ [e]) es before = before ++ es.
Proof.
  induction es as [|e es IH]; intros before; cbn; [now rewrite app_nil_r|]. now rewrite IH, <- app_assoc.
Qed.

Lemma mappings_ids b es : forall ids rest, Forall (fun e => is_id b (mm e)) es -> Forall (is_id b) ids ->
  mappings_from ids es = Some rest -> Forall (is_id b) rest.
Proof.
  induction es as [|e es IH]; intros ids rest real all em; cbn in em; [now injection em as <-|].
  destruct (step ids e) as [mid|] eqn:e1; [|easy]. inversion real; subst.
  apply (IH mid); [easy| |easy]. now apply (step_ids b ids e).
Qed.

Lemma linear_isolates n b modulus addends answer :
  (forall es ids x, mappings es = Some ids -> size ids < n -> Forall (is_id b) (x :: ids) ->
    answer (run modulus addends es) x = EXCLUSIVE -> exclusive_to x ids) ->
  forall w, reachable (fits n b) (linear_judge modulus addends answer) w -> isolated w.
Proof.
  intros right w. apply non_interference_proved. intros es ids x [real few] _ em hx said.
  pose proof (mappings_ids b es [] ids real (Forall_nil _) em) as all.
  apply (right es ids x em (few ids em)).
  - constructor; [|easy]. rewrite Forall_forall in all. now apply all.
  - cbn in said. now rewrite gathered in said.
Qed.

Theorem moments_isolates_proved : moments_isolates.
Proof.
  intros W b w hW. apply linear_isolates. intros es ids x em few all said.
  pose proof (moments_sound_proved W b es ids x hW em few all) as h. now rewrite said in h.
Qed.

Theorem packed_isolates_proved : packed_isolates.
Proof.
  intros W f b w hf. apply linear_isolates. intros es ids x em few all said.
  pose proof (packed_sound_proved W f b es ids x hf em few all) as h. now rewrite said in h.
Qed.

Theorem generations_safe_isolates_proved : generations_safe_isolates.
Proof.
  intros W o b w ho hb. apply linear_isolates. intros es ids x em few all said.
  now apply (generations_safe_proved W o b es ids x ho hb em few all).
Qed.

(** ** Leaks: MM 1 maps two pages, its child gets the second; the scheme looks at the first. *)

Lemma batch_one {S} (each : Z -> S -> S -> Prop) p s s' : each p s s' -> batch each p s s' 1.
Proof. intros e. exact (Another each p s s' s' 0 e (Nothing each (p + 1) s')). Qed.

Lemma touch_first m f p c x : touch m f p ([], c) ([View m f p false true x], store f p x c).
Proof. constructor. intros v []. Qed.

Lemma leaks answer : answer (FirstPage 3 0 1) = EXCLUSIVE ->
  exists w, reachable anything (first_page_judge answer) w /\ ~ isolated w.
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
  match type of r4 with reachable _ _ ?w => exists w end. split; [exact r4|].
  intros iso. specialize (iso (View 2 0 1 false false 0) (or_introl eq_refl)). discriminate iso.
Qed.

Theorem estimated_sharers_leaks_proved : estimated_sharers_leaks.
Proof. now apply leaks. Qed.

Theorem likely_shared_leaks_proved : likely_shared_leaks.
Proof.
  intros o ho. apply leaks. pose proof (Z.pow_le_mono_r 2 2 o ltac:(lia) ho) as room. unfold likely_shared_verdict. cbn.
  rewrite (proj2 (Z.ltb_ge (2^o) 3)); [reflexivity|]. change (2^2) with 4 in room. lia.
Qed.

(** The child pins the page, and unmaps it. *)
Theorem reuse_needs_references_proved : reuse_needs_references.
Proof.
  set (j := mm_id_judge). pose proof (Start anything j) as r.
  pose proof (Next _ _ _ _ r (fun _ => I) (Touch j empty_world 1 0 0 1 _ _ ltac:(lia) ltac:(lia)
    (batch_one _ _ _ _ (touch_first 1 0 0 (content empty_world) 0)))) as r1.
  match type of r1 with reachable _ _ ?w =>
    pose proof (Next _ _ _ _ r1 (fun _ => I) (Share j w 2 0 0 1 _ ltac:(lia) ltac:(lia)
      (batch_one _ _ _ _ (Copied 2 0 0 (views w) (View 1 0 0 false true 0) (or_introl eq_refl) eq_refl eq_refl eq_refl)))) as r2 end.
  match type of r2 with reachable _ _ ?w =>
    pose proof (Next _ _ _ _ r2 (fun _ => I) (Pin j w (View 2 0 0 false false 0) (or_introl eq_refl) eq_refl)) as r3 end.
  match type of r3 with reachable _ _ ?w =>
    pose proof (Next _ _ _ _ r3 (fun _ => I) (Unmap j w 2 0 0 1 _ ltac:(lia) (batch_one _ _ _ _
      (Dropped 2 0 0 [View 2 0 0 true false 0] (View 2 0 0 false false 0) [View 1 0 0 false false 0] eq_refl eq_refl eq_refl eq_refl)))) as r4 end.
  match type of r4 with reachable _ _ ?w => exists w end. exists (View 1 0 0 false false 0).
  split; [exact r4|]. split; [right; now left|]. split; [easy|]. split; [reflexivity|].
  exists (View 2 0 0 true false 0). split; [now left|]. split; easy.
Qed.
