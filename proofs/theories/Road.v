(** * The end of the road

    What: each scheme beside a mapcount that ends, told IDs that come again, any steps between any: what it keeps is private, and it
    keeps what it can.
    Idea: such a scheme is never false exclusive, since saturation says SHARED and no two mappers have one ID; nor false shared where
    the scheme is not. Interleaving.v has the rest. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements System Bookkeeping Linear Values MmId Counters MomentsFlag Reuse Isolation IsolationSchemes Interleaved Saturation Interleaving.
Import ListNotations.
Open Scope Z_scope.

Lemma keeps_private id b top j : (forall m, 1 <= id m) -> 0 <= top ->
  never_false_exclusive (fun es => Forall (fun e => is_id b (mm e)) es /\ within top es) j ->
  kept_is_private id b (bounded top j).
Proof.
  intros pos ht right w run.
  pose proof (told_never id _ _ pos (saturation_right_proved top j (is_id b) ht right)) as never. split.
  - exact (interleaved_non_interference_proved _ _ never w run).
  - intros f h. exact (granted_page_is_private_proved _ _ never w f h run).
Qed.

Theorem moments_flag_keeps_private_proved : moments_flag_keeps_private.
Proof.
  intros id ws wq b top pos hs hq hb ht room. apply keeps_private; [easy..|]. intros es ids x [good few] real em hx said.
  apply (moments_flag_never ws wq b top es ids x); [now repeat split|easy..].
Qed.

Theorem mm_id_keeps_private_proved : mm_id_keeps_private.
Proof.
  intros id b top pos ht. apply keeps_private; [easy..|]. intros es ids x _. now apply mm_id_never.
Qed.

(** A mapcount that ends before [n] mappings is one that fits. *)
Lemma within_fits n b top es : top < n -> Forall (fun e => is_id b (mm e)) es -> within top es -> fits n b es.
Proof.
  intros less good few. split; [easy|]. intros ids em. pose proof (always_end _ _ _ _ few em) as last. cbn beta in last. lia.
Qed.

(** A linear scheme that is right for fewer than [n] mappings, with a mapcount that ends before. *)
Lemma linear_keeps_private id b top n modulus addends answer : (forall m, 1 <= id m) -> 0 <= top < n ->
  linear_right (few_ids n b) modulus addends answer -> kept_is_private id b (bounded top (linear_judge modulus addends answer)).
Proof.
  intros pos ht right. apply keeps_private; [easy|easy|]. intros es ids x [good few].
  apply (linear_never n b modulus addends answer right). now apply (within_fits n b top).
Qed.

Theorem moments_keeps_private_proved : moments_keeps_private.
Proof. intros id w b top pos hw ht. apply (linear_keeps_private id b top (2^w)); [easy..|]. now apply moments_right. Qed.

Theorem packed_keeps_private_proved : packed_keeps_private.
Proof. intros id w f b top pos hf ht. apply (linear_keeps_private id b top (2^(f - 1))); [easy..|]. now apply packed_right. Qed.

Theorem generations_safe_keeps_private_proved : generations_safe_keeps_private.
Proof. intros id w o b top pos ho hb ht. apply (linear_keeps_private id b top (2^w)); [easy..|]. now apply generations_safe_right. Qed.

Theorem core_keeps_private_proved : core_keeps_private.
Proof.
  intros id o pos ho. split; [|split; [|split; [|split]]].
  - now apply moments_flag_keeps_private_proved.
  - now apply moments_keeps_private_proved.
  - now apply packed_keeps_private_proved.
  - now apply generations_safe_keeps_private_proved; [|lia|..].
  - now apply mm_id_keeps_private_proved.
Qed.

Theorem words_of_32_keep_private_proved : words_of_32_keep_private.
Proof.
  intros id pos. split; [now apply moments_flag_keeps_private_proved|now apply mm_id_keeps_private_proved].
Qed.

(** ** What it can keep it keeps *)

Theorem interleaved_liveness_proved : interleaved_liveness.
Proof.
  intros room now j never right w m p run has at_once ((h & hh & ph) & mine & none & quiet & free).
  pose proof (happens_sane room j w never run) as [_ _ (real & ids & em & counts) word _].
  destruct (mine h hh) as [mh fh].
  assert (all : held_refs w = held_maps w).
  { unfold held_refs, held_maps. rewrite none, Z.add_0_r. f_equal. f_equal. symmetry. clear - mine.
    induction (holders w) as [|g hs IH]; [easy|]. cbn. destruct (mine g (or_introl eq_refl)) as [_ fg].
    rewrite (proj2 (mapped_here g fg)). f_equal. apply IH. intros u hu. apply mine. now right. }
  assert (word_is : count_word w = held_refs w) by (unfold lacking in word; rewrite quiet in word; lia).
  assert (said : says j (after j (updates w)) m = EXCLUSIVE).
  { apply (right (updates w) ids m); [easy|easy|easy| |].
    - apply count_pos. rewrite counts. apply (num_pos _ h _ hh). unfold maps_as. now rewrite (proj2 (mapped_here h fh)), mh, Z.eqb_refl.
    - intros y hy. apply count_pos in hy. rewrite counts in hy. destruct (Z.eq_dec y m) as [|ne]; [easy|exfalso].
      enough (num (maps_as y) (holders w) = 0) by lia. clear - mine ne. unfold num.
      induction (holders w) as [|g hs IH]; [easy|]. cbn. destruct (mine g (or_introl eq_refl)) as [mg _].
      unfold maps_as at 1. rewrite mg, (proj2 (Z.eqb_neq m y)), andb_false_r by congruence. apply IH. intros u hu. apply mine. now right. }
  assert (alone : no_child w (mm_of h) (page_at h)).
  { intros u hu cu. destruct (mine u hu) as [_ fu]. now rewrite (proj1 (mapped_here u fu)) in cu. }
  pose proof (Then _ _ _ _ run has (FaultBegin j w h hh fh quiet ltac:(now rewrite mh, ph) alone)) as r1.
  match type of r1 with happens _ _ ?w => pose proof (Then _ _ _ _ r1 has (FaultCount j w [] _ (faults _) eq_refl)) as r2 end.
  match type of r2 with happens _ _ ?w => pose proof (Then _ _ _ _ r2 has (FaultRefs j w [] _ (faults _) eq_refl)) as r3 end.
  cbn in r3. match type of r3 with happens _ _ ?w =>
    pose proof (Then _ _ _ _ r3 has (FaultGrant j w [] _ _ (count_word _) eq_refl (conj eq_refl quiet) eq_refl
      (f_equal Some (eq_sym word_is)) ltac:(now rewrite mh))) as r4 end.
  match type of r4 with happens _ _ ?w' => exists w' end. eexists. split; [exact r4|].
  repeat (split; [easy|]). split; [now left|easy].
Qed.

Lemma bounded_never_shared id b top now j : (forall m, 1 <= id m) -> 0 <= top ->
  never_false_shared (fun es => (Forall (fun e => is_id b (mm e)) es /\ within top es) /\ now es) j ->
  never_false_shared (fun es => recycled id b es /\ within top (map (rename id) es) /\ now (map (rename id) es)) (told id (bounded top j)).
Proof.
  intros pos ht right es mms x [[good apart] [few at_once]] _ em hx ex. cbn [told says].
  change (fold_left (learn (told id (bounded top j))) es (fresh (told id (bounded top j))))
    with (fold_left (learn (told id (bounded top j))) es (fresh (bounded top j))).
  rewrite told_events. destruct (id_reuse_safe_proved id es mms apart em) as (em' & _ & one).
  fold (after (bounded top j) (map (rename id) es)).
  rewrite (proj1 (saturation_answers_proved top j _ _ [] (id x) ht em') few).
  apply (right (map (rename id) es) (map id mms)); [easy| |easy|now apply in_map|].
  - apply Forall_forall. intros e (d & <- & _)%in_map_iff. apply pos.
  - apply one; [|easy]. intros p q hp hq eq. apply (always_end _ _ _ _ apart em); [| |easy]; [destruct hp as [<-|]|destruct hq as [<-|]]; easy.
Qed.

Lemma keeps_its_own id b top now j : (forall m, 1 <= id m) -> 0 <= top ->
  never_false_exclusive (fun es => Forall (fun e => is_id b (mm e)) es /\ within top es) j ->
  never_false_shared (fun es => (Forall (fun e => is_id b (mm e)) es /\ within top es) /\ now es) j -> kept_if_alone id b top now j.
Proof.
  intros pos ht never right w m p run has few at_once mine.
  apply (interleaved_liveness_proved _ (fun es => within top (map (rename id) es) /\ now (map (rename id) es)) _
    (told_never id _ _ pos (saturation_right_proved top j (is_id b) ht never)) (bounded_never_shared id b top now j pos ht right)); easy.
Qed.

Theorem moments_flag_keeps_its_own_proved : moments_flag_keeps_its_own.
Proof.
  intros id ws wq b top pos hs hq hb ht room.
  assert (pre : forall es, Forall (fun e => is_id b (mm e)) es /\ within top es -> moments_flag_premise ws wq b top es) by now intros es [].
  apply keeps_its_own; [easy|easy| |].
  - intros es ids x has. exact (moments_flag_never ws wq b top es ids x (pre es has)).
  - intros es ids x [has few]. exact (moments_flag_never_shared ws wq b top es ids x (conj (pre es has) few)).
Qed.

Theorem mm_id_keeps_its_own_proved : mm_id_keeps_its_own.
Proof.
  intros id b top pos ht. apply keeps_its_own; [easy|easy| |].
  - intros es ids x _. now apply mm_id_never.
  - intros es ids x [_ two]. exact (mm_id_never_shared es ids x two).
Qed.

Lemma linear_keeps_its_own id b top n n' modulus addends answer : (forall m, 1 <= id m) -> 0 <= top < n ->
  linear_right (few_ids n b) modulus addends answer ->
  linear_keeps (fun ids x => few_ids n b ids x /\ size ids <= n') modulus addends answer ->
  kept_if_alone id b top (up_to n') (linear_judge modulus addends answer).
Proof.
  intros pos ht right keeps. apply keeps_its_own; [easy|easy| |].
  - intros es ids x [good few]. apply (linear_never n b modulus addends answer right). now apply (within_fits n b top).
  - intros es ids x [[good few] now_few]. apply (linear_never_shared n b n' modulus addends answer keeps).
    split; [now apply (within_fits n b top)|easy].
Qed.

Theorem moments_keeps_its_own_proved : moments_keeps_its_own.
Proof.
  intros id w b top pos hw ht. apply (linear_keeps_its_own id b top (2^w)); [easy|easy|now apply moments_right|now apply moments_keeps].
Qed.

Theorem packed_keeps_its_own_proved : packed_keeps_its_own.
Proof.
  intros id w f b top pos hf ht. apply (linear_keeps_its_own id b top (2^(f - 1))); [easy|easy|now apply packed_right|now apply packed_keeps].
Qed.

Theorem generations_safe_keeps_its_own_proved : generations_safe_keeps_its_own.
Proof.
  intros id w o b top pos ho hb ht. apply (linear_keeps_its_own id b top (2^w));
    [easy|easy|now apply generations_safe_right|now apply generations_safe_keeps].
Qed.

(** Fewer mappings than the scheme could bear. *)
Lemma fewer id b top n n' j : n <= n' -> kept_if_alone id b top (up_to n') j -> kept_if_alone id b top (up_to n) j.
Proof.
  intros le all w m p run has few now_few. apply all; [easy..|]. intros ids em. specialize (now_few ids em). lia.
Qed.

Lemma bits_left o : 1 <= o <= 21 -> 0 < moments_bits 64 o /\ 0 < packed_bits 64 24 o.
Proof.
  intros ho.
  assert (all : forallb (fun o => (0 <? moments_bits 64 o) && (0 <? packed_bits 64 24 o)) (map Z.of_nat (seq 1 21)) = true)
    by (vm_compute; reflexivity).
  rewrite forallb_forall in all. specialize (all o). rewrite andb_true_iff, !Z.ltb_lt in all. apply all.
  apply in_map_iff. exists (Z.to_nat o). split; [lia|]. apply in_seq. lia.
Qed.

Theorem core_keeps_its_own_proved : core_keeps_its_own.
Proof.
  intros id o pos ho. destruct (bits_left o ho) as [left_moments left_packed]. split; [|split; [|split; [|split]]].
  - apply (fewer _ _ _ _ (moments_flag_bound 64 22 / (2^22 - 1))); [now vm_compute|]. now apply moments_flag_keeps_its_own_proved.
  - apply (fewer _ _ _ _ _ _ (moments_room_proved 64 o left_moments)). now apply moments_keeps_its_own_proved.
  - apply (fewer _ _ _ _ _ _ (packed_room_proved 64 24 o left_packed)). now apply packed_keeps_its_own_proved.
  - apply generations_safe_keeps_its_own_proved; [easy|lia|lia|now vm_compute].
  - now apply mm_id_keeps_its_own_proved.
Qed.
