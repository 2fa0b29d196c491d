(** * No value holds more IDs than its states over the pages

    What: [density_bound], [three_words_are_wide_apart], [density_bound_without_wrap].
    Idea: fix one word a. The multiples i * (b - a) of the differences to the others, i = 1 .. P, are all different and not 0: where
    two are equal, some mappings by b and a look like mappings by c.
    And of three words a < b < c, the middle one is a mean of the others: c - b mappings by a and b - a by c look like c - a by b. So
    each P + 1 numbers hold two words at most. *)

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

Theorem three_words_are_wide_apart_proved : three_words_are_wide_apart.
Proof.
  intros words P modulus a b c pos right ha hb hc lt. destruct (Z_lt_le_dec P (c - a)) as [|near]; [easy|exfalso].
  set (ids := repeat a (Z.to_nat (c - b)) ++ repeat c (Z.to_nat (b - a))).
  assert (n : size ids = c - a) by (unfold ids, size; rewrite app_length, !repeat_length; lia).
  assert (all : Forall (fun w => In w words) (b :: ids)).
  { constructor; [easy|]. apply Forall_app. split; apply Forall_forall; intros y hy; apply repeat_spec in hy; now rewrite hy. }
  assert (same modulus (sum (fun w => w) ids) (size ids * b) = true) as looks.
  { apply same_spec. rewrite n. unfold ids. rewrite sum_app, !sum_repeat, !Z2Nat.id by lia. f_equal. ring. }
  apply right in looks; [|easy|lia]. assert (a = b); [|lia]. apply looks. unfold ids. apply in_app_iff. left.
  destruct (Z.to_nat (c - b)) eqn:k; [lia|now left].
Qed.

Lemma filter_both (s : Z -> bool) l : (length (filter s l) + length (filter (fun y => negb (s y)) l) = length l)%nat.
Proof. induction l as [|y l IH]; [easy|]. cbn. destruct (s y); cbn [negb length]; lia. Qed.

(** Whoever puts more than two into one of [k] boxes has three in it. *)
Lemma two_in_each (box : Z -> Z) (k : nat) : forall l : list Z, NoDup l -> (forall y, In y l -> 0 <= box y < Z.of_nat k) ->
  (forall p q r, In p l -> In q l -> In r l -> box p = box q -> box q = box r -> p < q < r -> False) ->
  Z.of_nat (length l) <= 2 * Z.of_nat k.
Proof.
  induction k as [|k IH]; intros l nd range apart.
  - destruct l as [|y l]; [easy|]. specialize (range y ltac:(now left)). lia.
  - set (last := fun y => box y =? Z.of_nat k).
    assert (few : (length (filter last l) <= 2)%nat).
    { pose proof (NoDup_filter last nd) as nf. assert (here : forall y, In y (filter last l) -> In y l /\ box y = Z.of_nat k)
        by (intros y [hy by_]%filter_In; split; [easy|now apply Z.eqb_eq]).
      destruct (filter last l) as [|p [|q [|r rest]]]; cbn [length]; try lia. exfalso.
      destruct (here p ltac:(now left)) as [hp bp], (here q ltac:(right; now left)) as [hq bq], (here r ltac:(do 2 right; now left)) as [hr br].
      inversion nf as [|? ? np nf']; subst. inversion nf' as [|? ? nq _]; subst. cbn in np, nq.
      assert (p <> q /\ p <> r /\ q <> r) as (pq & pr & qr) by (repeat split; intros ->; tauto).
      destruct (Z_lt_le_dec p q), (Z_lt_le_dec q r), (Z_lt_le_dec p r);
        solve [apply (apart p q r); congruence || lia|apply (apart p r q); congruence || lia|apply (apart q p r); congruence || lia
          |apply (apart q r p); congruence || lia|apply (apart r p q); congruence || lia|apply (apart r q p); congruence || lia|lia]. }
    assert (rest : Z.of_nat (length (filter (fun y => negb (last y)) l)) <= 2 * Z.of_nat k).
    { apply IH; [now apply NoDup_filter| |].
      - intros y [hy ny]%filter_In. unfold last in ny. apply negb_true_iff, Z.eqb_neq in ny. specialize (range y hy). lia.
      - intros p q r [hp _]%filter_In [hq _]%filter_In [hr _]%filter_In. now apply apart. }
    pose proof (filter_both last l). lia.
Qed.

Lemma least (l : list Z) : l <> [] -> exists a, In a l /\ forall w, In w l -> a <= w.
Proof.
  induction l as [|b l IH]; [easy|]. intros _. destruct l as [|c l].
  - exists b. split; [now left|]. intros w [<-|[]]. lia.
  - destruct (IH ltac:(easy)) as (a & ha & le). destruct (Z_le_gt_dec a b).
    + exists a. split; [now right|]. intros w [<-|hw]; [lia|auto].
    + exists b. split; [now left|]. intros w [<-|hw]; [lia|]. specialize (le w hw). lia.
Qed.

Theorem density_bound_without_wrap_proved : density_bound_without_wrap.
Proof.
  intros words P modulus pos hp distinct small right.
  destruct words as [|w0 rest] eqn:ew; [change (Z.of_nat (length (@nil Z))) with 0; nia|rewrite <- ew in *].
  destruct (least words) as (a & ha & le); [congruence|].
  set (top := (modulus - 1) / P). assert (0 <= top) by (apply Z.div_pos; lia).
  assert (P * top <= modulus - 1) by (apply Z.mul_div_le; lia).
  pose proof (two_in_each (fun w => (w - a) / (P + 1)) (Z.to_nat (top / (P + 1) + 1)) words distinct) as bound.
  assert (0 <= top / (P + 1)) by (apply Z.div_pos; lia). rewrite Z2Nat.id in bound by lia.
  assert (Z.of_nat (length words) <= 2 * (top / (P + 1) + 1)).
  { apply bound.
    - intros y hy. specialize (small a y ha hy). specialize (le y hy).
      assert (y - a <= top) by (apply Z.div_le_lower_bound; lia). split; [apply Z.div_pos; lia|].
      pose proof (Z.div_le_mono (y - a) top (P + 1)). lia.
    - intros p q r hp' hq hr e1 e2 lt. pose proof (three_words_are_wide_apart_proved words P modulus p q r pos right hp' hq hr lt) as wide.
      cbn in e1, e2. pose proof (Z.div_mod (p - a) (P + 1)) as dp. pose proof (Z.div_mod (r - a) (P + 1)) as dr.
      pose proof (Z.mod_pos_bound (p - a) (P + 1)). pose proof (Z.mod_pos_bound (r - a) (P + 1)). rewrite e1, e2 in dp. lia. }
  pose proof (Z.mul_div_le top (P + 1)). nia.
Qed.
