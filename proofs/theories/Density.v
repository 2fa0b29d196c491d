(** * No value holds more IDs than its states over the pages

    What: [density_bound].
    Idea: fix one word a. The multiples i * (b - a) of the differences to the others, i = 1 .. P, are all different and not 0: where
    two are equal, some mappings by b and a look like mappings by c. *)

From Coq Require Import ZArith List Bool Lia FinFun.
From Rmaplab Require Import Definitions Statements Bookkeeping Linear Generations.
Import ListNotations.
Open Scope Z_scope.

Definition multiple (a modulus : Z) (who : Z * Z) : Z := (fst who * (snd who - a)) mod modulus.

(** i mappings by b and j - i by a look like j by c. *)
Lemma look_alike words P modulus a b c i j : answers words P modulus -> In a words -> In b words -> In c words ->
  0 <= i <= j -> 0 < j <= P -> multiple a modulus (i, b) = multiple a modulus (j, c) ->
  (i < j -> a = c) /\ (i = j -> b = c).
Proof.
  intros right ha hb hc ij jp. unfold multiple. cbn [fst snd]. intros eq.
  set (ids := repeat b (Z.to_nat i) ++ repeat a (Z.to_nat (j - i))).
  assert (n : size ids = j) by (unfold ids, size; rewrite app_length, !repeat_length; lia).
  assert (all : Forall (fun w => In w words) (c :: ids)).
  { constructor; [easy|]. apply Forall_app. split; apply Forall_forall; intros y hy; apply repeat_spec in hy; now rewrite hy. }
  assert (same modulus (sum (fun w => w) ids) (size ids * c) = true) as looks.
  { apply same_spec. rewrite n. unfold ids. rewrite sum_app, !sum_repeat, !Z2Nat.id by lia.
    replace (i * b + (j - i) * a) with (i * (b - a) + j * a) by ring. rewrite <- Zplus_mod_idemp_l, eq, Zplus_mod_idemp_l. f_equal. ring. }
  apply right in looks; [|easy|lia]. split; intros h.
  - apply looks. unfold ids. apply in_app_iff. right. destruct (Z.to_nat (j - i)) eqn:k; [lia|now left].
  - apply looks. unfold ids. apply in_app_iff. left. destruct (Z.to_nat i) eqn:k; [lia|now left].
Qed.

Lemma NoDup_prod (is rest : list Z) : NoDup is -> NoDup rest -> NoDup (list_prod is rest).
Proof.
  intros hi hr. induction hi as [|i is no hi IH]; [constructor|]. cbn [list_prod]. apply NoDup_app_disjoint; [|easy|].
  - clear - hr. induction hr as [|b rest no hr IH]; [constructor|]. cbn [map]. constructor; [|easy].
    intros (y & [= ->] & hy)%in_map_iff. easy.
  - intros [x y] (z & [= <- <-] & _)%in_map_iff [h _]%in_prod_iff. easy.
Qed.

Lemma counted_from_one P : 0 <= P -> NoDup (map Z.of_nat (seq 1 (Z.to_nat P))) /\
  forall i, In i (map Z.of_nat (seq 1 (Z.to_nat P))) -> 1 <= i <= P.
Proof.
  intros hp. split.
  - apply Injective_map_NoDup; [intros p q; lia|apply seq_NoDup].
  - intros i (k & <- & hk%in_seq)%in_map_iff. lia.
Qed.

Theorem density_bound_proved : density_bound.
Proof.
  intros words P modulus pos hp distinct right. destruct words as [|a rest]; [cbn; lia|].
  inversion distinct as [|? ? no once]; subst. destruct (counted_from_one P ltac:(lia)) as [uniq range].
  set (l := (0, a) :: list_prod (map Z.of_nat (seq 1 (Z.to_nat P))) rest).
  assert (len : Z.of_nat (length l) = P * Z.of_nat (length rest) + 1).
  { unfold l. cbn [length]. rewrite prod_length, map_length, seq_length. rewrite Nat2Z.inj_succ, Nat2Z.inj_mul, Z2Nat.id by lia. lia. }
  cbn [length]. destruct (Z_lt_le_dec modulus (Z.of_nat (length l))) as [many|]; [exfalso|lia].
  assert (nodup : NoDup l).
  { constructor; [|now apply NoDup_prod]. intros [h _]%in_prod_iff. apply range in h. lia. }
  assert (here : forall i b, In (i, b) l -> In b (a :: rest) /\ (i = 0 /\ b = a \/ 1 <= i <= P /\ In b rest)).
  { intros i b [[= <- <-]|[hi hb]%in_prod_iff]; [split; [now left|now left]|]. split; [now right|right]. split; [now apply range|easy]. }
  destruct (pigeonhole _ (multiple a modulus) modulus pos l nodup many) as ([i b] & [j c] & hi & hj & ne & eq).
  { intros y _. now apply Z.mod_pos_bound. }
  assert (clash : forall i b j c, In (i, b) l -> In (j, c) l -> (i, b) <> (j, c) -> i <= j ->
    multiple a modulus (i, b) = multiple a modulus (j, c) -> False).
  { clear i b j c hi hj ne eq. intros i b j c hi hj ne le eq.
    destruct (here i b hi) as [hb cb], (here j c hj) as [hc [[-> ->]|[jr jc]]].
    - destruct cb as [[-> ->]|[? _]]; [easy|lia].
    - destruct (look_alike (a :: rest) P modulus a b c i j right ltac:(now left) hb hc ltac:(lia) ltac:(lia) eq) as [less more].
      destruct (Z_lt_le_dec i j) as [lt|ge]; [now apply no; rewrite (less lt)|].
      assert (i = j) as -> by lia. apply ne. now rewrite (more eq_refl). }
  destruct (Z_le_gt_dec i j); [now apply (clash i b j c)|]. apply (clash j c i b); [easy|easy|congruence|lia|easy].
Qed.
