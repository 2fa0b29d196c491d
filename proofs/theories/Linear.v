(** * bits, moments, one-value, packed

    What: the linear schemes that rest on sums of squares, and the bitwise one.
    Idea: over the integers the tests are plain algebra; every bound below only
    says that nothing of interest wrapped. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements Bookkeeping.
Import ListNotations.
Open Scope Z_scope.

(** ** Sums of squares *)

Lemma sum_nonneg f ids : (forall y, In y ids -> 0 <= f y) -> 0 <= sum f ids.
Proof.
  induction ids as [|y ids IH]; [easy|]. intros pos. rewrite sum_cons.
  pose proof (pos y (or_introl eq_refl)). specialize (IH (fun z hz => pos z (or_intror hz))). lia.
Qed.

Lemma sum_zero f ids : (forall y, In y ids -> 0 <= f y) -> sum f ids = 0 ->
  forall y, In y ids -> f y = 0.
Proof.
  induction ids as [|y ids IH]; [easy|]. intros pos eq z hz. rewrite sum_cons in eq.
  assert (tail : forall z, In z ids -> 0 <= f z) by (intros u hu; apply pos; now right).
  pose proof (sum_nonneg f ids tail). pose proof (pos y (or_introl eq_refl)).
  destruct hz as [<-|hz]; [lia|]. apply IH; [easy|lia|easy].
Qed.

Lemma square_nonneg z : 0 <= square z.
Proof. unfold square. nia. Qed.

Lemma square_zero z : square z = 0 -> z = 0.
Proof. unfold square. nia. Qed.

Lemma sum_squares_zero x ids : sum (fun id => square (id - x)) ids = 0 -> exclusive_to x ids.
Proof.
  intros eq y hy.
  pose proof (sum_zero _ ids (fun z _ => square_nonneg (z - x)) eq y hy) as sq.
  apply square_zero in sq. lia.
Qed.

(** ** moments *)

Theorem moments_identity_proved : moments_identity.
Proof.
  intros ids x. unfold spread. induction ids as [|y ids IH]; [cbn; lia|].
  rewrite !sum_cons, size_cons, <- IH. unfold square. ring.
Qed.

Lemma spread_zero ids x :
  spread (size ids) (sum (fun id => id) ids) (sum square ids) x = 0 <-> exclusive_to x ids.
Proof.
  rewrite moments_identity_proved. split; [apply sum_squares_zero|].
  intros ex. rewrite (sum_exclusive _ x ids ex). unfold square. lia.
Qed.

Theorem moments_integers_proved : moments_integers.
Proof. exact spread_zero. Qed.

Lemma square_bound D z : Z.abs z <= D -> 0 <= square z <= D * D.
Proof. unfold square. nia. Qed.

Lemma spread_bounds D ids x : Forall (fun id => Z.abs (id - x) <= D) ids ->
  0 <= sum (fun id => square (id - x)) ids <= size ids * (D * D).
Proof.
  rewrite Forall_forall. intros near.
  pose proof (sum_bounds (fun id => square (id - x)) 0 (D * D) ids
    (fun y hy => square_bound D _ (near y hy))). lia.
Qed.

Theorem moments_modulo_proved : moments_modulo.
Proof.
  intros modulus D ids x near room. rewrite <- spread_zero.
  pose proof (spread_bounds D ids x near) as bd. rewrite <- moments_identity_proved in bd.
  split; [|intros ->; apply same_refl]. intros eq. apply same_near in eq; lia.
Qed.

(** Cauchy-Schwarz with its remainder. *)
Lemma any_owner_identity ids (s := sum (fun id => id) ids) :
  sum (fun id => square (size ids * id - s)) ids = size ids * (size ids * sum square ids - square s).
Proof.
  assert (gen : forall p q l, sum (fun id => square (p * id - q)) l =
    p * p * sum square l - 2 * p * q * sum (fun id => id) l + size l * (q * q)).
  { intros p q l. induction l as [|y l IH]; [cbn; lia|].
    rewrite !sum_cons, size_cons, IH. unfold square. ring. }
  rewrite gen. fold s. unfold square. ring.
Qed.

Theorem owner_sound_proved : owner_sound.
Proof.
  intros ids. split; [split|].
  - intros eq. destruct ids as [|x ids]; [exists 0; intros y []|].
    exists x. pose proof (any_owner_identity (x :: ids)) as id. cbv zeta in id.
    rewrite eq, Z.sub_diag, Z.mul_0_r in id.
    pose proof (sum_zero _ _ (fun z _ => square_nonneg _) id) as all.
    pose proof (square_zero _ (all x (or_introl eq_refl))) as hx.
    intros y hy. pose proof (square_zero _ (all y hy)) as hy'.
    rewrite size_cons in hx, hy'. pose proof (size_nonneg ids). nia.
  - intros [x ex]. rewrite !(sum_exclusive _ x ids ex). unfold square. ring.
  - intros x ne ex. rewrite (sum_exclusive _ x ids ex), Z.mul_comm. apply Z.div_mul.
    now rewrite size_zero.
Qed.

(** Two IDs of [b] bits are at most [gap b] apart. *)
Lemma id_gap b x ids : Forall (is_id b) (x :: ids) -> Forall (fun id => Z.abs (id - x) <= gap b) ids.
Proof.
  intros all. inversion all as [|? ? hx hids]; subst. unfold is_id, gap in *.
  eapply Forall_impl; [|exact hids]. cbn beta. lia.
Qed.

Lemma gap_pos b : 0 < gap b.
Proof. unfold gap. lia. Qed.

Lemma below_limit n room d : 0 < d -> n <= (room - 1) / d -> n * d < room.
Proof. intros pos le. pose proof (Z.mul_div_le (room - 1) d pos). nia. Qed.

Theorem moments_sound_proved : moments_sound.
Proof.
  intros w b es ids x hw em small all. pose proof (pow2_pos w hw) as room.
  rewrite (bookkeeping_proved _ _ _ _ room em). cbn [map moments_addends moments_verdict].
  rewrite sum_one, (Z.mod_small (size ids)) by (pose proof (size_nonneg ids); lia).
  set (s := sum _ ids). set (q := sum _ ids).
  assert (wrap : same (2^w) (spread (size ids) (s mod 2^w) (q mod 2^w) x) 0 =
                 same (2^w) (spread (size ids) s q x) 0).
  { unfold same, spread. f_equal.
    rewrite <- Zplus_mod_idemp_l, <- Zminus_mod_idemp_r, Zminus_mod_idemp_l, Zmult_mod_idemp_r,
      Zminus_mod_idemp_r, Zplus_mod_idemp_l. reflexivity. }
  rewrite wrap. clear wrap. pose proof (gap_pos b).
  destruct (same (2^w) (spread (size ids) s q x) 0) eqn:eq.
  - destruct (Z.leb_spec (size ids) (moments_limit w b)) as [le|gt]; [|exact gt].
    cbn. apply (moments_modulo_proved (2^w) (gap b) ids x (id_gap _ _ _ all)); [|exact eq].
    apply below_limit; [nia|exact le].
  - cbn. intros ex%spread_zero. unfold s, q in eq. rewrite ex in eq. discriminate eq.
Qed.

Theorem moments_room_proved : moments_room.
Proof.
  intros w o pos. apply largest_passes, Z.ltb_lt in pos. unfold moments_limit, moments_bits in *.
  set (b := largest _ 24) in *. pose proof (gap_pos b).
  apply Z.div_le_lower_bound; [nia|]. lia.
Qed.

(** ** bits *)

Lemma bit_sum_bounds k ids : 0 <= sum (bit k) ids <= size ids.
Proof.
  pose proof (sum_bounds (bit k) 0 1 ids) as bd. unfold bit in bd.
  assert (forall y, In y ids -> 0 <= Z.b2z (Z.testbit y (Z.of_nat k)) <= 1) as h
    by (intros y _; destruct (Z.testbit y _); cbn; lia).
  specialize (bd h). unfold bit. lia.
Qed.

Lemma bit_equal modulus k ids x : size ids < modulus ->
  same modulus (sum (bit k) ids) (size ids * bit k x) = true ->
  forall y, In y ids -> bit k y = bit k x.
Proof.
  intros small eq y hy. pose proof (bit_sum_bounds k ids) as bd.
  assert (one : bit k x = 0 \/ bit k x = 1) by (unfold bit; destruct (Z.testbit x _); auto).
  apply same_near in eq; [|destruct one as [->| ->]; lia].
  destruct one as [zero|one].
  - rewrite zero, Z.mul_0_r in eq. rewrite zero. apply (sum_zero (bit k) ids); [|exact eq|exact hy].
    intros z _. unfold bit. destruct (Z.testbit z _); easy.
  - rewrite one in *. enough (1 - bit k y = 0) by lia.
    apply (sum_zero (fun z => 1 - bit k z) ids); [| |exact hy].
    + intros z _. unfold bit. destruct (Z.testbit z _); easy.
    + rewrite <- (sum_one ids) in eq. clear - eq.
      assert (gen : forall l, sum (fun z => 1 - bit k z) l = size l - sum (bit k) l).
      { induction l as [|z l IH]; [easy|]. rewrite !sum_cons, size_cons, IH. lia. }
      rewrite gen, eq, sum_one. lia.
Qed.

Lemma bits_equal digits y x : is_chunk digits y -> is_chunk digits x ->
  (forall k, (k < digits)%nat -> bit k y = bit k x) -> y = x.
Proof.
  intros hy hx eq. unfold is_chunk in *. apply Z.bits_inj'. intros k hk.
  destruct (Z.ltb_spec k (Z.of_nat digits)) as [lt|ge].
  - specialize (eq (Z.to_nat k)). unfold bit in eq. rewrite Z2Nat.id in eq by lia.
    apply Z.b2z_inj, eq. lia.
  - assert (high : forall z, 0 <= z < 2 ^ Z.of_nat digits -> Z.testbit z k = false).
    { intros z hz. destruct (Z.eq_dec z 0) as [->|nz]; [apply Z.bits_0|].
      apply Z.bits_above_log2; [lia|].
      enough (Z.log2 z < Z.of_nat digits) by lia. apply Z.log2_lt_pow2; lia. }
    now rewrite !high.
Qed.

Theorem bits_sound_proved : bits_sound.
Proof.
  intros w b es ids x hw em small all. pose proof (pow2_pos w hw) as room.
  rewrite (bookkeeping_proved _ _ _ _ room em). cbn [map bits_addends bits_verdict].
  rewrite sum_one, (Z.mod_small (size ids)) by (pose proof (size_nonneg ids); lia).
  rewrite (all_same_wrapped _ _ _ room). inversion all as [|? ? hx hids]; subst.
  destruct (all_same _ _ _ _ x) eqn:eq; cbn.
  - rewrite all_same_spec in eq. intros y hy. apply (bits_equal b); [|easy|].
    { rewrite Forall_forall in hids. auto. }
    intros k hk. apply (bit_equal (2^w) k ids); [easy| |easy].
    apply eq. unfold bit_values. apply in_map, in_seq. lia.
  - intros ex. rewrite (all_same_exclusive _ _ _ _ ex) in eq. discriminate.
Qed.

(** ** one-value *)

Section OneValue.
  Variables w o a c : Z.
  Hypotheses (hw : 0 <= w) (ho : 0 <= o) (ha : 0 <= a) (hc : 0 <= c).
  Hypothesis fits : one_value_fits w o a c = true.

  Let R1 := 2^(o + a).
  Let R2 := 2^(o + c).
  Let R3 := 2^(w - 2 * o - a - c).
  Let fx (id : Z) := id mod 2^a.
  Let fy (id : Z) := id / 2^a.
  Let fz (id : Z) := fx id * fx id + fy id * fy id.

  Lemma one_value_room : 2^o * ((2^a - 1)^2 + (2^c - 1)^2) < R3.
  Proof. unfold one_value_fits in fits. now apply Z.ltb_lt in fits. Qed.

  Lemma one_value_exponent : 0 <= w - 2 * o - a - c.
  Proof.
    destruct (Z.ltb_spec (w - 2 * o - a - c) 0) as [neg|]; [|easy].
    pose proof one_value_room as r. unfold R3 in r. rewrite (Z.pow_neg_r 2 (w - _ - _ - _)) in r by lia.
    pose proof (pow2_pos o ho). pose proof (Z.square_nonneg (2^a - 1)).
    pose proof (Z.square_nonneg (2^c - 1)). rewrite !Z.pow_2_r in r.
    pose proof (Z.mul_nonneg_nonneg (2^o) ((2^a - 1) * (2^a - 1) + (2^c - 1) * (2^c - 1))). lia.
  Qed.

  Lemma one_value_word : 2^w = R1 * (R2 * R3).
  Proof.
    pose proof one_value_exponent. unfold R1, R2, R3.
    rewrite <- !Z.pow_add_r by lia. f_equal. lia.
  Qed.

  Lemma one_value_fields id : one_value o a c id = fx id + R1 * (fy id + R2 * fz id).
  Proof.
    unfold one_value, fz, fx, fy, R1, R2.
    replace (2 * o + a + c) with ((o + a) + (o + c)) by lia.
    rewrite (Z.pow_add_r 2 (o + a) (o + c)) by lia. ring.
  Qed.

  Lemma sum_fields ids :
    sum (one_value o a c) ids = sum fx ids + R1 * (sum fy ids + R2 * sum fz ids).
  Proof.
    rewrite (sum_ext _ _ ids (fun y _ => one_value_fields y)).
    now rewrite sum_add, sum_scale, sum_add, sum_scale.
  Qed.

  Lemma field_ranges id : is_id (a + c) id ->
    0 <= fx id <= 2^a - 1 /\ 0 <= fy id <= 2^c - 1 /\ 0 <= fz id <= (2^a - 1)^2 + (2^c - 1)^2.
  Proof.
    unfold is_id. rewrite Z.pow_add_r by lia. intros hid. pose proof (pow2_pos a ha) as pa.
    assert (hx : 0 <= fx id < 2^a) by (apply Z.mod_pos_bound; lia).
    assert (hy : 0 <= fy id < 2^c)
      by (split; [apply Z.div_pos; lia|apply Z.div_lt_upper_bound; lia]).
    unfold fz. rewrite !Z.pow_2_r. nia.
  Qed.

  (** Up to [2^o] summands no field runs over into the next. *)
  Lemma field_sums ids : Forall (is_id (a + c)) ids -> size ids <= 2^o ->
    0 <= sum fx ids < R1 /\ 0 <= sum fy ids < R2 /\ 0 <= sum fz ids < R3.
  Proof.
    rewrite Forall_forall. intros all small. pose proof (size_nonneg ids).
    pose proof (sum_bounds fx 0 (2^a - 1) ids (fun y hy => proj1 (field_ranges y (all y hy)))).
    pose proof (sum_bounds fy 0 (2^c - 1) ids (fun y hy => proj1 (proj2 (field_ranges y (all y hy))))).
    pose proof (sum_bounds fz 0 _ ids (fun y hy => proj2 (proj2 (field_ranges y (all y hy))))).
    pose proof one_value_room. pose proof (pow2_pos o ho). pose proof (pow2_pos a ha). pose proof (pow2_pos c hc).
    unfold R1, R2 in *. rewrite !Z.pow_add_r by lia.
    assert (0 <= (2^a - 1)^2 + (2^c - 1)^2)
      by (apply Z.add_nonneg_nonneg; apply Z.pow_even_nonneg; now exists 1).
    assert (scale : forall k, 0 <= k -> size ids * k <= 2^o * k)
      by (intros; now apply Z.mul_le_mono_nonneg_r).
    pose proof (scale (2^a - 1) ltac:(lia)). pose proof (scale (2^c - 1) ltac:(lia)).
    pose proof (scale ((2^a - 1)^2 + (2^c - 1)^2) ltac:(lia)). lia.
  Qed.

  (** Mixed radix: equal words, equal fields. *)
  Lemma mixed_radix r p q p' q' :
    0 < r -> 0 <= p < r -> 0 <= p' < r -> p + r * q = p' + r * q' -> p = p' /\ q = q'.
  Proof. intros. assert (q = q') by nia. split; [nia|easy]. Qed.

  Lemma one_value_exact ids x : Forall (is_id (a + c)) (x :: ids) -> size ids <= 2^o ->
    same (2^w) (sum (one_value o a c) ids) (size ids * one_value o a c x) = true -> exclusive_to x ids.
  Proof.
    intros all small eq. inversion all as [|? ? hx hids]; subst.
    set (own := repeat x (Z.to_nat (size ids))).
    assert (own_x : exclusive_to x own) by (intros y hy; now apply repeat_spec in hy).
    assert (own_n : size own = size ids).
    { unfold own, size. rewrite repeat_length. lia. }
    assert (own_ids : Forall (is_id (a + c)) own).
    { apply Forall_forall. intros y ->%own_x. exact hx. }
    assert (own_f : forall f, sum f own = size ids * f x)
      by (intros f; rewrite (sum_exclusive f x own own_x); lia).
    pose proof (field_sums ids hids small) as (hfx & hfy & hfz).
    pose proof (field_sums own own_ids ltac:(lia)) as (gfx & gfy & gfz).
    rewrite <- (own_f (one_value o a c)), !sum_fields in eq.
    assert (range : forall p q r, 0 <= p < R1 -> 0 <= q < R2 -> 0 <= r < R3 ->
                    0 <= p + R1 * (q + R2 * r) < 2^w).
    { rewrite one_value_word. clear. intros p q r hp hq hr.
      assert (0 <= q + R2 * r < R2 * R3) by nia. nia. }
    apply same_spec in eq. rewrite !Z.mod_small in eq by now apply range.
    apply mixed_radix in eq as [ex eq]; [|lia..].
    apply mixed_radix in eq as [ey ez]; [|lia..].
    rewrite !own_f in *.
    assert (zero : sum (fun id => square (fx id - fx x) + square (fy id - fy x)) ids = 0).
    { assert (gen : forall l, sum (fun id => square (fx id - fx x) + square (fy id - fy x)) l =
        sum fz l - 2 * fx x * sum fx l - 2 * fy x * sum fy l + size l * fz x).
      { induction l as [|y l IH]; [cbn; lia|]. rewrite !sum_cons, size_cons, IH.
        unfold fz, square. ring. }
      rewrite gen, ex, ey, ez. unfold fz. ring. }
    intros y hy. pose proof (pow2_pos a ha) as pa.
    pose proof (sum_zero _ ids
      (fun z _ => Z.add_nonneg_nonneg _ _ (square_nonneg _) (square_nonneg _)) zero y hy) as both.
    cbn beta in both.
    pose proof (square_nonneg (fx y - fx x)). pose proof (square_nonneg (fy y - fy x)).
    assert (hx' : fx y - fx x = 0) by (apply square_zero; lia).
    assert (hy' : fy y - fy x = 0) by (apply square_zero; lia).
    rewrite (Z.div_mod y (2^a)), (Z.div_mod x (2^a)) by lia.
    unfold fx, fy in hx', hy'. nia.
  Qed.
End OneValue.

Theorem one_value_sound_proved : one_value_sound.
Proof.
  intros w o a c es ids x hw ho ha hc fits em small all. pose proof (pow2_pos w hw) as room.
  rewrite (bookkeeping_proved _ _ _ _ room em). cbn [map one_value_addends one_value_verdict].
  rewrite sum_one, (Z.mod_small (size ids)), same_mod by (pose proof (size_nonneg ids); lia).
  destruct (same _ _ _) eqn:eq.
  - destruct (Z.leb_spec (size ids) (2^o)) as [le|gt]; [|exact gt].
    exact (one_value_exact w o a c hw ho ha hc fits ids x all le eq).
  - cbn. intros ex. rewrite (sum_exclusive _ x ids ex), same_refl in eq. discriminate.
Qed.

(** The sum of squares grows as a product's factors [p * r] and [q] move apart. *)
Lemma uneven_split p q r : 1 <= p <= q -> 1 <= r ->
  (q - 1) * (q - 1) + (p * r - 1) * (p * r - 1) <= (q * r - 1) * (q * r - 1) + (p - 1) * (p - 1).
Proof.
  intros hp hr.
  enough (0 <= (r - 1) * (q - p) * ((r + 1) * (q + p) - 2)) by lia.
  apply Z.mul_nonneg_nonneg; [apply Z.mul_nonneg_nonneg; lia|].
  pose proof (Z.mul_le_mono_nonneg 2 (r + 1) 1 (q + p)). lia.
Qed.

(** The even split of [a + c] bits is the cheapest. *)
Lemma even_split_fits w o a c : 0 <= o -> 0 <= c <= a ->
  one_value_fits w o a c = true -> one_value_fits w o (a + c - (a + c) / 2) ((a + c) / 2) = true.
Proof.
  intros ho hac. unfold one_value_fits. rewrite !Z.ltb_lt.
  set (h := (a + c) / 2). assert (hh : c <= h /\ h <= a + c - h <= a).
  { pose proof (Z.div_mod (a + c) 2 ltac:(lia)). pose proof (Z.mod_pos_bound (a + c) 2). lia. }
  replace (w - 2 * o - (a + c - h) - h) with (w - 2 * o - a - c) by lia.
  intros fit. eapply Z.le_lt_trans; [|exact fit]. apply Z.mul_le_mono_nonneg_l; [apply Z.pow_nonneg; lia|].
  (* 2^a * 2^c is the same for every split; the sum of the two is smallest for the even one. *)
  set (d := h - c). assert (ec : 2^h = 2^c * 2^d) by (rewrite <- Z.pow_add_r by lia; f_equal; lia).
  assert (ea : 2^a = 2^(a + c - h) * 2^d) by (rewrite <- Z.pow_add_r by lia; f_equal; lia).
  assert (2^c <= 2^(a + c - h)) by (apply Z.pow_le_mono_r; lia).
  pose proof (pow2_pos c ltac:(lia)). pose proof (pow2_pos d ltac:(lia)).
  rewrite ec, ea, !Z.pow_2_r. apply uneven_split; lia.
Qed.

Theorem one_value_layout_proved : one_value_layout.
Proof.
  intros w o ho t. split.
  - intros pos. exact (largest_passes _ _ pos).
  - intros a c hac le fit. apply largest_is_largest; [|lia]. now apply even_split_fits.
Qed.

(** ** packed *)

Lemma packed_sum f ids :
  sum (fun id => 1 + id * 2^f) ids = size ids + 2^f * sum (fun id => id) ids.
Proof. induction ids as [|y ids IH]; [cbn; lia|]. rewrite !sum_cons, size_cons, IH. ring. Qed.

Lemma two_halves f : 1 <= f -> 2^f = 2 * 2^(f - 1).
Proof. intros hf. rewrite <- Z.pow_succ_r by lia. f_equal. lia. Qed.

Theorem packed_fields_proved : packed_fields.
Proof.
  intros w f es ids hf em small. pose proof (two_halves f ltac:(lia)) as halves. pose proof (pow2_pos w ltac:(lia)) as room.
  rewrite (bookkeeping_proved _ _ _ _ room em). cbn [map packed_addends].
  rewrite packed_sum. f_equal. set (s := sum _ ids).
  assert (word : 2^w = 2^f * 2^(w - f)) by (rewrite <- Z.pow_add_r by lia; f_equal; lia).
  pose proof (pow2_pos f ltac:(lia)). pose proof (pow2_pos (w - f) ltac:(lia)).
  pose proof (Z.mod_pos_bound s (2^(w - f)) ltac:(lia)) as hm. pose proof (size_nonneg ids).
  symmetry. apply (Z.mod_unique_pos _ _ (s / 2^(w - f))); rewrite word; [nia|].
  rewrite (Z.div_mod s (2^(w - f))) at 1 by lia. ring.
Qed.

Lemma sum_id_near D ids x : Forall (fun id => Z.abs (id - x) <= D) ids ->
  Z.abs (sum (fun id => id) ids - size ids * x) <= size ids * D.
Proof.
  rewrite Forall_forall. intros near.
  pose proof (sum_bounds (fun id => id) (x - D) (x + D) ids) as bd.
  assert (forall y, In y ids -> x - D <= y <= x + D) as h by (intros y hy; specialize (near y hy); lia).
  specialize (bd h). nia.
Qed.

Theorem packed_sound_proved : packed_sound.
Proof.
  intros w f b es ids x hf em small all.
  rewrite (packed_fields_proved _ _ _ _ hf em small). cbn [packed_verdict].
  pose proof (two_halves f ltac:(lia)) as halves. pose proof (pow2_pos (f - 1) ltac:(lia)) as ph.
  pose proof (pow2_pos f ltac:(lia)) as pf. pose proof (pow2_pos (w - f) ltac:(lia)) as ps.
  pose proof (pow2_pos w ltac:(lia)) as pw. pose proof (size_nonneg ids) as pn.
  set (s := sum (fun id => id) ids). set (q := sum square ids).
  assert (en : (size ids + 2^f * (s mod 2^(w - f))) mod 2^(f - 1) = size ids).
  { symmetry. apply (Z.mod_unique_pos _ _ (2 * (s mod 2^(w - f)))); lia. }
  assert (es' : (size ids + 2^f * (s mod 2^(w - f))) / 2^f = s mod 2^(w - f)).
  { symmetry. apply (Z.div_unique_pos _ _ _ (size ids)); lia. }
  rewrite en, es', !same_mod by lia. clear en es'.
  destruct (same (2^(w - f)) s (size ids * x) && same (2^w) q (size ids * (x * x))) eqn:eq.
  - destruct (Z.leb_spec (size ids) (packed_limit w f b)) as [le|gt]; [|exact gt].
    apply andb_true_iff in eq as [eqs eqq]. unfold packed_limit in le.
    pose proof (gap_pos b) as pg. pose proof (id_gap _ _ _ all) as near.
    pose proof (below_limit (size ids) (2^(w - f)) (gap b) pg ltac:(lia)) as rs.
    pose proof (below_limit (size ids) (2^w) (gap b * gap b) ltac:(nia) ltac:(lia)) as rq.
    pose proof (sum_id_near _ _ _ near) as ns. fold s in ns.
    apply same_near in eqs; [|lia].
    apply (moments_modulo_proved (2^w) (gap b) ids x near rq).
    fold s q. apply same_diff; [easy|]. apply same_diff in eqq; [|easy].
    replace (spread (size ids) s q x - 0) with (q - size ids * (x * x))
      by (unfold spread; rewrite eqs; ring).
    exact eqq.
  - cbn. intros ex. unfold s, q in eq. rewrite !(sum_exclusive _ x ids ex) in eq.
    unfold square in eq. rewrite !same_refl in eq. discriminate.
Qed.

Theorem packed_frozen_proved : packed_frozen.
Proof.
  intros w f b lo q x hf clear. cbn [packed_verdict].
  pose proof (two_halves f hf) as halves. pose proof (pow2_pos (f - 1) ltac:(lia)) as ph.
  assert (en : (lo + 2^(f - 1)) mod 2^(f - 1) = lo mod 2^(f - 1)).
  { rewrite <- (Z.mul_1_l (2^(f - 1))) at 1. apply Z_mod_plus_full. }
  assert (es : (lo + 2^(f - 1)) / 2^f = lo / 2^f).
  { pose proof (Z.mod_pos_bound lo (2^f) ltac:(lia)). pose proof (Z.div_mod lo (2^f) ltac:(lia)).
    symmetry. apply (Z.div_unique_pos _ _ _ (lo mod 2^f + 2^(f - 1))); lia. }
  now rewrite en, es.
Qed.

Theorem packed_room_proved : packed_room.
Proof. intros w f o pos. apply largest_passes, Z.leb_le in pos. exact pos. Qed.
