(** * moments-flag: the flag that two sums keep

    What: the invariant of every step.
    Idea: while the flag is clear, all mappings are one MM's, so the sum tells a newcomer;
    sums modulo a word are the sums themselves once they fit, and then Cauchy-Schwarz decides. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements Bookkeeping Linear MmId.
Import ListNotations.
Open Scope Z_scope.

Definition total_id (ids : list Z) : Z := sum (fun id => id) ids.

Definition moments_flag_ok (ws wq b : Z) (ids : list Z) (s : moments_flag) : Prop :=
  mf_total s = size ids /\ mf_sum s = total_id ids mod 2^ws /\ mf_squares s = sum square ids mod 2^wq /\
  Forall (is_id b) ids /\
  (mf_shared s = false -> exclusive ids) /\
  (mf_shared s = true -> total_id ids <= moments_flag_bound wq b -> ~ exclusive ids).

Lemma id_sums b ids : 0 < b -> Forall (is_id b) ids ->
  0 <= total_id ids <= size ids * (2^b - 1) /\ 0 <= sum square ids <= total_id ids * (2^b - 1).
Proof.
  intros hb. unfold total_id. induction 1 as [|y ids hy _ IH]; [cbn; lia|].
  rewrite !sum_cons, size_cons. unfold is_id, square in *. nia.
Qed.

Lemma step_ids b ids e rest : is_id b (mm e) -> Forall (is_id b) ids -> step ids e = Some rest ->
  Forall (is_id b) rest.
Proof.
  intros he all es. rewrite Forall_forall in *. intros y hy. apply count_pos in hy.
  rewrite (step_count _ _ _ _ es) in hy. destruct (Z.eqb_spec (mm e) y) as [eq|]; [now rewrite <- eq|].
  apply all, count_pos. lia.
Qed.

(** A newcomer's multiple equals the sum of one other's only if there is no other. *)
Lemma newcomer_seen ws b N ids x : 0 < b -> N * (2^b - 1) < 2^ws -> size ids <= N ->
  is_id b x -> Forall (is_id b) ids -> exclusive ids ->
  (same (2^ws) (size ids * x) (total_id ids mod 2^ws) = true <-> exclusive_to x ids).
Proof.
  intros hb room few hx all [y ex]. pose proof (pow2_pos b ltac:(lia)) as pb.
  pose proof (size_nonneg ids) as pos. assert (pw : 0 < 2^ws) by nia.
  unfold total_id. rewrite (sum_exclusive _ y ids ex). split.
  - intros eq. destruct ids as [|z ids]; [intros z []|].
    assert (is_id b y) by (rewrite <- (ex z (or_introl eq_refl)); now inversion all).
    rewrite same_spec, Z.mod_mod, <- same_spec in eq by lia.
    apply same_near in eq; [|unfold is_id in *; nia].
    rewrite size_cons in *. pose proof (size_nonneg ids).
    assert (x = y) as -> by nia. exact ex.
  - intros exx. destruct ids as [|z ids]; [rewrite size_nil, !Z.mul_0_l; apply same_spec; now rewrite Z.mod_mod by lia|].
    assert (x = y) as -> by (rewrite <- (ex z (or_introl eq_refl)); symmetry; apply exx; now left).
    apply same_spec. now rewrite Z.mod_mod by lia.
Qed.

Lemma alone_right ws wq b N ids : 0 <= wq -> 0 < b -> N * (2^b - 1) < 2^ws -> size ids <= N ->
  Forall (is_id b) ids -> 0 < 2^b - 1 ->
  (moments_flag_alone (moments_flag_bound wq b) (size ids) (total_id ids mod 2^ws) (sum square ids mod 2^wq) = true
   <-> total_id ids <= moments_flag_bound wq b /\ exclusive ids).
Proof.
  intros hq hb room few all pb. pose proof (id_sums b ids hb all) as (s & q).
  unfold moments_flag_alone. rewrite (Z.mod_small (total_id ids)) by nia.
  rewrite andb_true_iff, Z.leb_le, Z.eqb_eq.
  enough (fits : total_id ids <= moments_flag_bound wq b ->
    (size ids * (sum square ids mod 2^wq) = total_id ids * total_id ids <-> exclusive ids)) by tauto.
  intros within. rewrite Z.mod_small; [apply owner_sound_proved|].
  pose proof (Z.mul_div_le (2^wq - 1) (2^b - 1) pb). unfold moments_flag_bound in within. nia.
Qed.

Lemma map_joins ids rest e : step ids e = Some rest -> 0 < nr e -> (exclusive_to (mm e) ids <-> exclusive rest).
Proof.
  intros es pos. split.
  - intros ex. exists (mm e). apply (exclusive_to_step _ _ _ _ es). rewrite Z.eqb_refl.
    apply exclusive_to_count in ex. lia.
  - intros ex. apply (exclusive_mapper (mm e)) in ex.
    + apply (exclusive_to_step _ _ _ _ es) in ex. rewrite Z.eqb_refl in ex. apply exclusive_to_count. lia.
    + rewrite (step_count _ _ _ _ es), Z.eqb_refl. pose proof (count_bounds (mm e) ids). lia.
Qed.

Lemma moments_flag_step_ok ws wq b N ids s e rest : 0 <= ws -> 0 <= wq -> 0 < b -> N * (2^b - 1) < 2^ws ->
  size ids <= N -> size rest <= N -> is_id b (mm e) -> moments_flag_ok ws wq b ids s ->
  step ids e = Some rest -> moments_flag_ok ws wq b rest (moments_flag_step ws wq (moments_flag_bound wq b) s e).
Proof.
  intros hs hq hb room few few' he (tot & sm & sq & all & clear & set) es.
  pose proof (step_ids _ _ _ _ he all es) as all'.
  assert (pb : 0 < 2^b - 1) by (pose proof (Z.pow_le_mono_r 2 1 b); lia).
  unfold moments_flag_ok, moments_flag_step. cbn [mf_total mf_sum mf_squares mf_shared].
  assert (tot' : mf_total s + nr e = size rest) by (rewrite tot; symmetry; apply (step_size _ _ _ es)).
  assert (sm' : (mf_sum s + nr e * mm e) mod 2^ws = total_id rest mod 2^ws).
  { rewrite sm, Zplus_mod_idemp_l. unfold total_id. now rewrite (step_sum _ _ _ _ es). }
  assert (sq' : (mf_squares s + nr e * square (mm e)) mod 2^wq = sum square rest mod 2^wq).
  { rewrite sq, Zplus_mod_idemp_l. now rewrite (step_sum _ _ _ _ es). }
  rewrite tot', sm', sq'. split; [easy|]. split; [easy|]. split; [easy|]. split; [easy|].
  pose proof (step_nr _ _ _ es) as some. destruct (Z.ltb_spec 0 (nr e)) as [pos|neg].
  - pose proof (map_joins _ _ _ es pos) as joins. rewrite tot, sm.
    destruct (mf_shared s); cbn [orb].
    + split; [easy|]. intros _ within ex. apply set; [easy| |].
      * unfold total_id in *. rewrite (step_sum _ _ _ _ es) in within. unfold is_id in he. nia.
      * exact (map_exclusive_back _ _ _ es pos ex).
    + pose proof (newcomer_seen ws b N ids (mm e) hb room few he all (clear eq_refl)) as seen.
      destruct (same _ _ _); cbn [negb]; split; try easy.
      * intros _. apply joins, seen. reflexivity.
      * intros _ _ ex. apply joins, seen in ex. discriminate.
  - pose proof (alone_right ws wq b N rest hq hb room few' all' pb) as alone.
    destruct (mf_shared s); cbn [andb].
    + destruct (moments_flag_alone _ _ _ _); cbn [negb]; split; try easy.
      * intros _. now apply alone.
      * intros _ within ex. enough (false = true) by easy. now apply alone.
    + split; [|easy]. intros _. apply (unmap_exclusive ids _ e es); [lia|auto].
Qed.

Lemma moments_flag_run_ok ws wq b N es : forall ids s rest,
  0 <= ws -> 0 <= wq -> 0 < b -> N * (2^b - 1) < 2^ws ->
  Forall (fun e => is_id b (mm e)) es -> always (fun ids => size ids <= N) ids es ->
  moments_flag_ok ws wq b ids s -> mappings_from ids es = Some rest ->
  moments_flag_ok ws wq b rest (fold_left (moments_flag_step ws wq (moments_flag_bound wq b)) es s).
Proof.
  induction es as [|e es IH]; intros ids s rest hs hq hb room real few ok em; cbn in em |- *.
  - now injection em as <-.
  - destruct few as [here later]. destruct (step ids e) as [mid|] eqn:e1; [|easy].
    inversion real; subst. apply (IH mid); try easy.
    apply (moments_flag_step_ok ws wq b N ids); try easy. destruct es; apply later.
Qed.

Lemma moments_flag_always_ok ws wq b N es ids : moments_flag_premise ws wq b N es -> mappings es = Some ids ->
  moments_flag_ok ws wq b ids (moments_flag_run ws wq (moments_flag_bound wq b) es).
Proof.
  intros (hs & hq & hb & room & real & few) em.
  apply (moments_flag_run_ok ws wq b N es [] moments_flag_start ids); try easy.
  unfold moments_flag_ok, total_id. cbn. repeat split; try (now rewrite Z.mod_0_l by (pose proof (pow2_pos ws hs); pose proof (pow2_pos wq hq); lia)); try easy.
  intros _. exists 0. intros y [].
Qed.

Theorem moments_flag_never_false_exclusive_proved : moments_flag_never_false_exclusive.
Proof.
  intros ws wq b N es ids pre em. pose proof (moments_flag_always_ok _ _ _ _ _ _ pre em) as (_ & _ & _ & _ & clear & _).
  unfold moments_flag_verdict. destruct (mf_shared _); [easy|auto].
Qed.

Theorem moments_flag_exact_proved : moments_flag_exact.
Proof.
  intros ws wq b N es ids pre em within.
  pose proof (moments_flag_always_ok _ _ _ _ _ _ pre em) as (_ & _ & _ & _ & clear & set).
  unfold moments_flag_verdict. destruct (mf_shared _); [|split; auto].
  split; [easy|]. intros ex. now elim (set eq_refl within).
Qed.

Theorem moments_flag_exact_mapcount_proved : moments_flag_exact_mapcount.
Proof.
  intros ws wq b N es ids pre em within. apply (moments_flag_exact_proved ws wq b N); try easy.
  pose proof (moments_flag_always_ok _ _ _ _ _ _ pre em) as (_ & _ & _ & all & _).
  destruct pre as (_ & _ & hb & _). pose proof (id_sums b ids hb all). unfold total_id in *. lia.
Qed.
