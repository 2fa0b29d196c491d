(** * No weights tell whether every page is mapped equally often

    What: the claims of Uniform.v.
    Idea: two sets of equally many pages that weigh the same exist by pigeonhole (room_is_needed, with the number of pages in the low
    digit). Take the pages of one away once and add those of the other: as many mappings, the same weight. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements Bookkeeping Linear Generations Uniform.
Import ListNotations.
Open Scope Z_scope.

Lemma dot_const c weights : forall counts, length counts = length weights -> Forall (fun d => d = c) counts ->
  dot counts weights = c * total_of weights.
Proof.
  induction weights as [|w weights IH]; intros [|d counts] len all; try easy; [cbn; lia|].
  inversion all; subst. cbn [dot total_of fold_right]. fold (total_of weights). rewrite IH; [lia|now injection len|easy].
Qed.

Lemma total_const c counts : Forall (fun d => d = c) counts -> total_of counts = Z.of_nat (length counts) * c.
Proof.
  induction 1 as [|d counts -> _ IH]; [easy|]. cbn [total_of fold_right length]. fold (total_of counts). lia.
Qed.

Theorem uniform_passes_proved : uniform_passes.
Proof.
  intros modulus weights counts pos len [c all]. unfold seems_uniform, weighed. apply same_spec.
  rewrite (dot_const c weights counts len all), (total_const c counts all), len. rewrite Zmult_mod_idemp_r. f_equal. ring.
Qed.

(** The weight, and a one in the low digit. *)
Definition marked (p w : Z) : Z := w * (p + 1) + 1.

Lemma dot_marked p d : forall weights, length d = length weights ->
  dot d (map (marked p) weights) = (p + 1) * dot d weights + total_of d.
Proof.
  induction d as [|x d IH]; intros [|w weights] len; try easy; [cbn; lia|].
  cbn [dot map total_of fold_right]. fold (total_of d). rewrite IH by now injection len. unfold marked. ring.
Qed.

Lemma total_bound d : Forall (fun x => Z.abs x <= 1) d -> Z.abs (total_of d) <= Z.of_nat (length d).
Proof. induction 1 as [|x d hx _ IH]; [easy|]. cbn [total_of fold_right length]. fold (total_of d). lia. Qed.

Lemma dot_plus_one d : forall weights, length d = length weights ->
  dot (map (Z.add 1) d) weights = total_of weights + dot d weights.
Proof.
  induction d as [|x d IH]; intros [|w weights] len; try easy. cbn [dot map total_of fold_right]. fold (total_of weights).
  rewrite IH by now injection len. ring.
Qed.

Lemma total_plus_one d : total_of (map (Z.add 1) d) = Z.of_nat (length d) + total_of d.
Proof. induction d as [|x d IH]; [easy|]. cbn [total_of map fold_right length]. fold (total_of d) (total_of (map (Z.add 1) d)). lia. Qed.

(** Small numbers that sum to 0 and are not all 0: one is -1. *)
Lemma some_minus d : Forall (fun x => Z.abs x <= 1) d -> (forall x, In x d -> x <> -1) -> total_of d <= 0 -> Forall (fun x => x = 0) d.
Proof.
  intros small no. assert (up : Forall (fun x => 0 <= x) d).
  { apply Forall_forall. intros x hx. rewrite Forall_forall in small. pose proof (small x hx). pose proof (no x hx). lia. }
  clear small no. induction up as [|x d hx up IH]; [constructor|]. cbn [total_of fold_right]. fold (total_of d). intros less.
  assert (0 <= total_of d) by (clear - up; induction up; [easy|cbn [total_of fold_right]; fold (total_of l); lia]).
  constructor; [lia|apply IH; lia].
Qed.

Theorem uniform_errs_proved : uniform_errs.
Proof.
  intros modulus weights pos room. set (p := Z.of_nat (length weights)) in *. assert (hp : 0 <= p) by lia.
  destruct (room_is_needed_proved (map (marked p) weights) 1 (modulus * (p + 1)) ltac:(lia) ltac:(nia)
    ltac:(rewrite map_length; exact room)) as (d & len & small & some & zero).
  rewrite map_length in len. rewrite dot_marked in zero by easy.
  pose proof (total_bound d small) as few. rewrite len in few. fold p in few.
  apply Z.mod_divide in zero; [|nia]. destruct zero as [k zero].
  assert (split : total_of d = (p + 1) * (k * modulus - dot d weights)) by (transitivity (k * (modulus * (p + 1)) - (p + 1) * dot d weights); [lia|ring]).
  assert (weigh : dot d weights = k * modulus) by (destruct (Z.eq_dec (k * modulus - dot d weights) 0); [lia|nia]).
  assert (none : total_of d = 0) by (rewrite split, weigh; ring).
  exists (map (Z.add 1) d). split; [now rewrite map_length|]. split; [|split; [|split]].
  - apply Forall_forall. intros c (x & <- & hx)%in_map_iff. rewrite Forall_forall in small. pose proof (small x hx). lia.
  - rewrite total_plus_one, len, none. fold p. lia.
  - destruct (in_dec Z.eq_dec (-1) d) as [hx|no]; [apply in_map_iff; now exists (-1)|].
    assert (all : Forall (fun x => x = 0) d) by (apply some_minus; [easy|intros x hx ->; easy|lia]).
    apply Exists_exists in some as (x & hx & nz). rewrite Forall_forall in all. now elim nz; apply all.
  - unfold seems_uniform, weighed. apply same_spec. rewrite total_plus_one, len, none, dot_plus_one, weigh by easy. fold p.
    rewrite Zmult_mod_idemp_r. rewrite Z.add_0_r.
    replace (p * (total_of weights + k * modulus)) with (p * total_of weights + (p * k) * modulus) by ring.
    apply Z_mod_plus_full.
Qed.

Theorem uniform_errs_at_64_proved : uniform_errs_at_64.
Proof.
  intros o weights ho len. rewrite <- len. apply uniform_errs_proved; [easy|]. rewrite len.
  assert (big : 128 <= 2^o) by (change 128 with (2^7); apply Z.pow_le_mono_r; lia).
  assert (small : 2^o <= 2^21) by (apply Z.pow_le_mono_r; lia).
  apply (Z.lt_le_trans _ (2^64 * 2^22)); [lia|]. rewrite <- Z.pow_add_r by lia. apply Z.pow_le_mono_r; lia.
Qed.

Lemma dot_mid low high c w after : forall before, length low = length before ->
  dot (low ++ c :: high) (before ++ w :: after) = dot low before + c * w + dot high after.
Proof.
  induction low as [|d low IH]; intros [|v before] len; try easy. cbn [app dot]. rewrite IH by now injection len. lia.
Qed.

Lemma total_mid w after before : total_of (before ++ w :: after) = total_of before + w + total_of after.
Proof.
  unfold total_of. induction before as [|v before IH]; [cbn; lia|]. cbn [app fold_right]. rewrite IH. lia.
Qed.

Theorem uniform_rarely_passes_proved : uniform_rarely_passes.
Proof.
  intros modulus before after w w' low high c pos len _. unfold seems_uniform, weighed. rewrite !same_spec.
  set (n := total_of (low ++ c :: high)).
  replace (length (before ++ w' :: after)) with (length (before ++ w :: after)) by (rewrite !app_length; reflexivity).
  set (p := Z.of_nat _). rewrite !Zmult_mod_idemp_r, !dot_mid, !total_mid by easy. intros one other.
  apply Z.mod_divide; [lia|].
  replace ((w - w') * (p * c - n)) with
    ((p * (dot low before + c * w + dot high after) - n * (total_of before + w + total_of after)) -
     (p * (dot low before + c * w' + dot high after) - n * (total_of before + w' + total_of after))) by ring.
  rewrite Zminus_mod, (Zminus_mod (p * (dot low before + c * w + _))), (Zminus_mod (p * (dot low before + c * w' + _))), one, other.
  rewrite !Z.sub_diag. now rewrite !Zmod_0_l.
Qed.
