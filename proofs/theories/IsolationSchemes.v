(** * Which schemes keep processes apart, and which leak *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Witnesses Statements System Bookkeeping Linear Values MmId Counters MomentsFlag Isolation.
Import ListNotations.
Open Scope Z_scope.

Lemma mapper_is_owner x ids : exclusive ids -> In x ids -> exclusive_to x ids.
Proof. intros ex hx. apply exclusive_mapper; [easy|]. now apply count_pos. Qed.

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

(** A scheme that is told nothing but the sums: right for what [good] says of the mappings and the asker. *)
Definition linear_right (good : list Z -> Z -> Prop) (modulus : Z) (addends : list (Z -> Z)) (answer : list Z -> Z -> verdict) : Prop :=
  forall es ids x, mappings es = Some ids -> good ids x ->
    answer (run modulus addends es) x = EXCLUSIVE -> exclusive_to x ids.

Definition linear_keeps (good : list Z -> Z -> Prop) (modulus : Z) (addends : list (Z -> Z)) (answer : list Z -> Z -> verdict) : Prop :=
  forall es ids x, mappings es = Some ids -> good ids x -> exclusive_to x ids ->
    answer (run modulus addends es) x = EXCLUSIVE.

Definition few_ids (n b : Z) (ids : list Z) (x : Z) : Prop := size ids < n /\ Forall (is_id b) (x :: ids).

Lemma fits_few n b es ids x : fits n b es -> mappings es = Some ids -> In x ids -> few_ids n b ids x.
Proof.
  intros [real few] em hx. pose proof (mappings_ids b es [] ids real (Forall_nil _) em) as all.
  specialize (few ids em). split; [lia|]. constructor; [|easy]. rewrite Forall_forall in all. now apply all.
Qed.

Lemma linear_never n b modulus addends answer : linear_right (few_ids n b) modulus addends answer ->
  never_false_exclusive (fits n b) (linear_judge modulus addends answer).
Proof.
  intros right es ids x has _ em hx said. apply (right es ids x em (fits_few n b es ids x has em hx)).
  cbn in said. now rewrite gathered in said.
Qed.

Lemma linear_isolates n b modulus addends answer : linear_right (few_ids n b) modulus addends answer ->
  forall w, reachable (fits n b) (linear_judge modulus addends answer) w -> isolated w.
Proof. intros right w. apply non_interference_proved. now apply linear_never. Qed.

(** Right both ways for up to [n'] mappings. *)
Lemma linear_never_shared n b n' modulus addends answer :
  linear_keeps (fun ids x => few_ids n b ids x /\ size ids <= n') modulus addends answer ->
  never_false_shared (fun es => fits n b es /\ up_to n' es) (linear_judge modulus addends answer).
Proof.
  intros right es ids x [has few] _ em hx ex. cbn. rewrite gathered.
  apply (right es ids x em); [|easy]. split; [exact (fits_few n b es ids x has em hx)|exact (few ids em)].
Qed.

Lemma linear_reuses n b n' modulus addends answer : linear_right (few_ids n b) modulus addends answer ->
  linear_keeps (fun ids x => few_ids n b ids x /\ size ids <= n') modulus addends answer ->
  reuses (fits n b) (up_to n') (linear_judge modulus addends answer).
Proof. intros right keeps. apply liveness_proved; [now apply linear_never|now apply linear_never_shared]. Qed.

(** ** Each scheme: what its soundness says, as [linear_right] and [linear_keeps] *)

Lemma honest_right v truth beyond : honest v truth beyond -> v = EXCLUSIVE -> truth.
Proof. now intros h ->. Qed.

Lemma honest_keeps v truth beyond : honest v truth beyond -> ~ beyond -> truth -> v = EXCLUSIVE.
Proof. now destruct v. Qed.

Section Honest.
  Variables (n b : Z) (modulus : Z) (addends : list (Z -> Z)) (answer : list Z -> Z -> verdict).
  Variable beyond : Z.
  Hypothesis sound : forall es ids x, mappings es = Some ids -> size ids < n -> Forall (is_id b) (x :: ids) ->
    honest (answer (run modulus addends es) x) (exclusive_to x ids) (beyond < size ids).

  Lemma honest_linear_right : linear_right (few_ids n b) modulus addends answer.
  Proof. intros es ids x em [few all]. exact (honest_right _ _ _ (sound es ids x em few all)). Qed.

  Lemma honest_linear_keeps : linear_keeps (fun ids x => few_ids n b ids x /\ size ids <= beyond) modulus addends answer.
  Proof. intros es ids x em [[few all] le]. apply (honest_keeps _ _ _ (sound es ids x em few all)). lia. Qed.
End Honest.

Lemma ids_chunks b n ids : b <= Z.of_nat n -> Forall (is_id b) ids -> Forall (is_chunk n) ids.
Proof.
  intros le. apply Forall_impl. intros id [lo hi]. split; [lia|].
  apply (Z.lt_le_trans _ _ _ hi). apply Z.pow_le_mono_r; lia.
Qed.

Lemma bits_honest W b es ids x : 0 <= W -> mappings es = Some ids -> size ids < 2^W -> Forall (is_id (Z.of_nat b)) (x :: ids) ->
  honest (bits_verdict (2^W) b (run (2^W) (bits_addends b) es) x) (exclusive_to x ids) False.
Proof. intros hW em few all. apply bits_sound_proved; [easy..|]. apply (ids_chunks (Z.of_nat b)); [lia|easy]. Qed.

Lemma bits_right W b : 0 <= W -> linear_right (few_ids (2^W) (Z.of_nat b)) (2^W) (bits_addends b) (bits_verdict (2^W) b).
Proof. intros hW es ids x em [few all]. exact (honest_right _ _ _ (bits_honest W b es ids x hW em few all)). Qed.

Lemma moments_right W b : 0 <= W -> linear_right (few_ids (2^W) b) (2^W) moments_addends (moments_verdict W b).
Proof. intros hW. apply (honest_linear_right _ _ _ _ _ (moments_limit W b)). intros es ids x em few all. now apply moments_sound_proved. Qed.

Lemma moments_keeps W b : 0 <= W ->
  linear_keeps (fun ids x => few_ids (2^W) b ids x /\ size ids <= moments_limit W b) (2^W) moments_addends (moments_verdict W b).
Proof. intros hW. apply honest_linear_keeps. intros es ids x em few all. now apply moments_sound_proved. Qed.

Lemma one_value_right W o a c : 0 <= W -> 0 <= o -> 0 <= a -> 0 <= c -> one_value_fits W o a c = true ->
  linear_right (few_ids (2^W) (a + c)) (2^W) (one_value_addends o a c) (one_value_verdict W o a c).
Proof. intros hW ho ha hc room. apply (honest_linear_right _ _ _ _ _ (2^o)). intros es ids x em few all. now apply one_value_sound_proved. Qed.

Lemma packed_right W f b : 1 <= f <= W ->
  linear_right (few_ids (2^(f - 1)) b) (2^W) (packed_addends f) (packed_verdict W f b).
Proof. intros hf. apply (honest_linear_right _ _ _ _ _ (packed_limit W f b)). intros es ids x em few all. now apply packed_sound_proved. Qed.

Lemma packed_keeps W f b : 1 <= f <= W ->
  linear_keeps (fun ids x => few_ids (2^(f - 1)) b ids x /\ size ids <= packed_limit W f b)
    (2^W) (packed_addends f) (packed_verdict W f b).
Proof. intros hf. apply honest_linear_keeps. intros es ids x em few all. now apply packed_sound_proved. Qed.

Lemma generations_safe_keeps W o b : 0 <= o < W -> 0 < b ->
  linear_keeps (fun ids x => few_ids (2^W) b ids x /\ size ids <= 2^o) (2^W) (safe_addends W o b) (safe_verdict W o b).
Proof. intros ho hb es ids x em [[few all] le] ex. now apply (generations_safe_proved W o b es ids x ho hb em few all). Qed.

Lemma generations_safe_right W o b : 0 <= o < W -> 0 < b ->
  linear_right (few_ids (2^W) b) (2^W) (safe_addends W o b) (safe_verdict W o b).
Proof. intros ho hb es ids x em [few all] said. now apply (generations_safe_proved W o b es ids x ho hb em few all). Qed.

(** The posted table: an ID of 24 bits is K chunks of B bits. *)
Lemma posted_row o : let '(K, B, base) := posted o in 24 <= Z.of_nat (K * B).
Proof. unfold posted. now repeat destruct (o <=? _). Qed.

Lemma posted_verdict_right o es ids x : 2 <= o <= 6 \/ 10 <= o <= 15 ->
  mappings es = Some ids -> few_ids (2^64) 24 ids x ->
  let v := posted_verdict o (posted_run o es) x in
  (v = EXCLUSIVE -> exclusive_to x ids) /\ (size ids <= 2^o -> exclusive_to x ids -> v = EXCLUSIVE).
Proof.
  intros ho em [few all]. pose proof (posted_sound_proved o ho) as right. pose proof (posted_row o) as row.
  unfold posted_verdict, posted_run. destruct (posted o) as [[K B] base].
  exact (proj2 (right es ids x em few (ids_chunks 24 (K * B) _ row all))).
Qed.

Lemma posted_says o es x : says (posted_judge o) (fold_left (learn (posted_judge o)) es (fresh (posted_judge o))) x =
  posted_verdict o (posted_run o es) x.
Proof.
  unfold posted_judge, posted_verdict, posted_run. destruct (posted o) as [[K B] base]. cbn. now rewrite gathered.
Qed.

Lemma posted_never o : 2 <= o <= 6 \/ 10 <= o <= 15 -> never_false_exclusive (fits (2^64) 24) (posted_judge o).
Proof.
  intros ho es ids x has _ em hx. rewrite posted_says.
  exact (proj1 (posted_verdict_right o es ids x ho em (fits_few _ _ es ids x has em hx))).
Qed.

(** ** The claims *)

Theorem owner_counter_isolates_proved : owner_counter_isolates.
Proof.
  intros w. apply non_interference_proved. intros es ids x _ real em hx said.
  exact (owner_counter_never_false_exclusive_proved es ids x real em said).
Qed.

Theorem bits_isolates_proved : bits_isolates.
Proof. intros W b w hW. now apply linear_isolates, bits_right. Qed.

Theorem moments_isolates_proved : moments_isolates.
Proof. intros W b w hW. now apply linear_isolates, moments_right. Qed.

Theorem one_value_isolates_proved : one_value_isolates.
Proof. intros W o a c w hW ho ha hc room. now apply linear_isolates, one_value_right. Qed.

Theorem packed_isolates_proved : packed_isolates.
Proof. intros W f b w hf. now apply linear_isolates, packed_right. Qed.

Theorem generations_safe_isolates_proved : generations_safe_isolates.
Proof. intros W o b w ho hb. now apply linear_isolates, generations_safe_right. Qed.

Theorem posted_isolates_proved : posted_isolates.
Proof. intros o w ho. now apply non_interference_proved, posted_never. Qed.

Theorem bits_reuses_proved : bits_reuses.
Proof.
  intros W b hW. apply liveness_proved; [now apply linear_never, bits_right|].
  intros es ids x [has _] _ em hx ex. cbn. rewrite gathered. destruct (fits_few _ _ es ids x has em hx) as [few all].
  exact (honest_keeps _ _ _ (bits_honest W b es ids x hW em few all) (fun no => no) ex).
Qed.

Theorem moments_reuses_proved : moments_reuses.
Proof.
  intros W b hW. apply linear_reuses; [now apply moments_right|now apply moments_keeps].
Qed.

Theorem one_value_reuses_proved : one_value_reuses.
Proof.
  intros W o a c hW ho ha hc room. apply linear_reuses; [now apply one_value_right|].
  apply honest_linear_keeps. intros es ids x em few all. now apply one_value_sound_proved.
Qed.

Theorem packed_reuses_proved : packed_reuses.
Proof.
  intros W f b hf. apply linear_reuses; [now apply packed_right|now apply packed_keeps].
Qed.

Theorem generations_safe_reuses_proved : generations_safe_reuses.
Proof.
  intros W o b ho hb. apply linear_reuses; [now apply generations_safe_right|now apply generations_safe_keeps].
Qed.

Theorem posted_reuses_proved : posted_reuses.
Proof.
  intros o ho. apply liveness_proved; [now apply posted_never|].
  intros es ids x [has few] _ em hx. rewrite posted_says. apply (posted_verdict_right o es ids x ho em); [|exact (few ids em)].
  exact (fits_few _ _ es ids x has em hx).
Qed.

Lemma mm_id_never : never_false_exclusive anything mm_id_judge.
Proof.
  intros es ids x _ real em hx said. apply mapper_is_owner; [|easy].
  exact (mm_id_never_false_exclusive_proved es ids real em said).
Qed.

Theorem mm_id_isolates_proved : mm_id_isolates.
Proof. intros w. apply non_interference_proved, mm_id_never. Qed.

Lemma mm_id_never_shared : never_false_shared two_at_a_time mm_id_judge.
Proof.
  intros es ids x (before & since & -> & unmapped & two) real em hx ex.
  apply (mm_id_exact_for_two_proved before since ids real unmapped two em). now exists x.
Qed.

Theorem mm_id_reuses_proved : mm_id_reuses.
Proof.
  apply liveness_proved; [exact mm_id_never|]. intros es ids x [_ two]. exact (mm_id_never_shared es ids x two).
Qed.

Lemma moments_flag_never ws wq b N :
  never_false_exclusive (moments_flag_premise ws wq b N) (moments_flag_judge ws wq (moments_flag_bound wq b)).
Proof.
  intros es ids x pre real em hx said. apply mapper_is_owner; [|easy].
  exact (moments_flag_never_false_exclusive_proved ws wq b N es ids pre em said).
Qed.

Theorem moments_flag_isolates_proved : moments_flag_isolates.
Proof. intros ws wq b N w. apply non_interference_proved, moments_flag_never. Qed.

Lemma moments_flag_never_shared ws wq b N :
  never_false_shared (fun es => moments_flag_premise ws wq b N es /\ up_to (moments_flag_bound wq b / (2^b - 1)) es)
    (moments_flag_judge ws wq (moments_flag_bound wq b)).
Proof.
  intros es ids x [pre few] _ em hx ex. apply (moments_flag_exact_mapcount_proved ws wq b N es ids pre em); [|now exists x].
  specialize (few ids em). destruct pre as (_ & _ & hb & _). pose proof (Z.pow_le_mono_r 2 1 b ltac:(lia) ltac:(lia)) as two.
  change (2^1) with 2 in two. pose proof (Z.mul_div_le (moments_flag_bound wq b) (2^b - 1) ltac:(lia)). nia.
Qed.

Theorem moments_flag_reuses_proved : moments_flag_reuses.
Proof. intros ws wq b N. apply liveness_proved; [apply moments_flag_never|apply moments_flag_never_shared]. Qed.

(** ** Moves made by hand *)

Lemma batch_one {S} (each : Z -> S -> S -> Prop) p s s' : each p s s' -> batch each p s s' 1.
Proof. intros e. exact (Another each p s s' s' 0 e (Nothing each (p + 1) s')). Qed.

Lemma touch_first m f p c x : touch m f p ([], c) ([View m f p false true x], store f p x c).
Proof. constructor. intros v []. Qed.

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
