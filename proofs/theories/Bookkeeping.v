(** * Bookkeeping: events add up

    What: the truth's counts, and the state of a linear scheme as a sum.
    For: every other proof file; also the everyday lemmas on [size], [sum], [count]. *)

From Coq Require Import ZArith List Bool Lia.
From Rmaplab Require Import Definitions Statements.
Import ListNotations.
Open Scope Z_scope.

(** ** size, sum and count *)

Lemma size_nil : size [] = 0.
Proof. reflexivity. Qed.

Lemma size_cons y ids : size (y :: ids) = size ids + 1.
Proof. unfold size. cbn [length]. lia. Qed.

Lemma size_nonneg ids : 0 <= size ids.
Proof. unfold size. lia. Qed.

Lemma size_app p q : size (p ++ q) = size p + size q.
Proof. unfold size. rewrite app_length. lia. Qed.

Lemma size_zero ids : size ids = 0 <-> ids = [].
Proof.
  split; [|now intros ->]. destruct ids as [|y ids]; [easy|].
  rewrite size_cons. pose proof (size_nonneg ids). lia.
Qed.

Lemma count_nil m : count m [] = 0.
Proof. reflexivity. Qed.

Lemma count_cons m y ids : count m (y :: ids) = count m ids + (if y =? m then 1 else 0).
Proof.
  unfold count. cbn [count_occ]. destruct (Z.eq_dec y m) as [->|ne].
  - rewrite Z.eqb_refl. lia.
  - rewrite (proj2 (Z.eqb_neq y m) ne). lia.
Qed.

Lemma count_bounds m ids : 0 <= count m ids <= size ids.
Proof.
  induction ids as [|y ids IH]; [easy|]. rewrite count_cons, size_cons.
  destruct (y =? m); lia.
Qed.

Lemma count_pos m ids : 0 < count m ids <-> In m ids.
Proof. unfold count. rewrite (count_occ_In Z.eq_dec). lia. Qed.

(** Two MMs' mappings are disjoint. *)
Lemma count_two p q ids : p <> q -> count p ids + count q ids <= size ids.
Proof.
  intros ne. induction ids as [|y ids IH]; [easy|]. rewrite !count_cons, size_cons.
  destruct (Z.eqb_spec y p), (Z.eqb_spec y q); lia.
Qed.

Lemma exclusive_to_count x ids : exclusive_to x ids <-> count x ids = size ids.
Proof.
  induction ids as [|y ids IH].
  - split; [easy|]. intros _ y [].
  - rewrite count_cons, size_cons. pose proof (count_bounds x ids).
    destruct (Z.eqb_spec y x) as [->|ne].
    + split.
      * intros all. enough (count x ids = size ids) by lia. apply IH. intros z hz. apply all. now right.
      * intros eq z [<-|hz]; [easy|]. apply IH; [lia|easy].
    + split; [|lia]. intros all. exfalso. apply ne, all. now left.
Qed.

Lemma exclusive_to_cons x y ids : exclusive_to x (y :: ids) <-> y = x /\ exclusive_to x ids.
Proof.
  split.
  - intros all. split; [apply all; now left|]. intros z hz. apply all. now right.
  - intros [-> all] z [<-|hz]; auto.
Qed.

Lemma sum_cons f y ids : sum f (y :: ids) = f y + sum f ids.
Proof. reflexivity. Qed.

Lemma sum_app f p q : sum f (p ++ q) = sum f p + sum f q.
Proof. induction p as [|y p IH]; [easy|]. cbn [app]. rewrite !sum_cons, IH. lia. Qed.

Lemma sum_repeat f m k : sum f (repeat m k) = Z.of_nat k * f m.
Proof. induction k as [|k IH]; [easy|]. cbn [repeat]. rewrite sum_cons, IH. lia. Qed.

Lemma sum_ext f g ids : (forall y, In y ids -> f y = g y) -> sum f ids = sum g ids.
Proof.
  induction ids as [|y ids IH]; [easy|]. intros eq. rewrite !sum_cons, IH, (eq y); auto.
  - now left.
  - intros z hz. apply eq. now right.
Qed.

Lemma sum_exclusive f x ids : exclusive_to x ids -> sum f ids = size ids * f x.
Proof.
  induction ids as [|y ids IH]; [easy|]. intros [-> all]%exclusive_to_cons.
  rewrite sum_cons, size_cons, IH by easy. lia.
Qed.

Lemma sum_add f g ids : sum (fun y => f y + g y) ids = sum f ids + sum g ids.
Proof. induction ids as [|y ids IH]; [easy|]. rewrite !sum_cons, IH. lia. Qed.

Lemma sum_scale k f ids : sum (fun y => k * f y) ids = k * sum f ids.
Proof. induction ids as [|y ids IH]; [cbn; lia|]. rewrite !sum_cons, IH. lia. Qed.

Lemma sum_one ids : sum (fun _ => 1) ids = size ids.
Proof. induction ids as [|y ids IH]; [easy|]. rewrite sum_cons, IH, size_cons. lia. Qed.

Lemma sum_bounds f lo hi ids :
  (forall y, In y ids -> lo <= f y <= hi) -> size ids * lo <= sum f ids <= size ids * hi.
Proof.
  induction ids as [|y ids IH]; [easy|]. intros bd. rewrite sum_cons, size_cons.
  pose proof (bd y (or_introl eq_refl)). specialize (IH (fun z hz => bd z (or_intror hz))). lia.
Qed.

(** Every comparison in sight, decided. *)
Ltac cases :=
  repeat match goal with
  | |- context [?p =? ?q] => destruct (Z.eqb_spec p q)
  | H : context [?p =? ?q] |- _ => destruct (Z.eqb_spec p q)
  | |- context [?p <=? ?q] => destruct (Z.leb_spec p q)
  | H : context [?p <=? ?q] |- _ => destruct (Z.leb_spec p q)
  end.

(** ** The truth *)

Lemma remove_one_sum f m ids rest : remove_one m ids = Some rest -> sum f ids = f m + sum f rest.
Proof.
  revert rest. induction ids as [|y ids IH]; [easy|]. intros rest. cbn [remove_one].
  destruct (Z.eqb_spec y m) as [->|ne].
  - now intros [= <-].
  - destruct (remove_one m ids) as [r|]; [|easy]. intros [= <-].
    rewrite !sum_cons, (IH r eq_refl). lia.
Qed.

Lemma remove_many_sum f m k : forall ids rest,
  remove_many k m ids = Some rest -> sum f ids = Z.of_nat k * f m + sum f rest.
Proof.
  induction k as [|k IH]; cbn [remove_many]; intros ids rest.
  - now intros [= ->].
  - destruct (remove_one m ids) as [r|] eqn:er; [|easy]. intros em.
    rewrite (remove_one_sum f _ _ _ er), (IH _ _ em). lia.
Qed.

(** An event adds [nr] times its MM's addend to every sum. *)
Lemma step_sum f ids e rest : step ids e = Some rest -> sum f rest = sum f ids + nr e * f (mm e).
Proof.
  unfold step. destruct (Z.ltb_spec 0 (nr e)).
  - intros [= <-]. rewrite sum_app, sum_repeat. lia.
  - destruct (Z.ltb_spec (nr e) 0); [|easy]. intros er.
    rewrite (remove_many_sum f _ _ _ _ er). lia.
Qed.

Lemma step_nr ids e rest : step ids e = Some rest -> nr e <> 0.
Proof. unfold step. destruct (Z.ltb_spec 0 (nr e)), (Z.ltb_spec (nr e) 0); [lia..|easy]. Qed.

Lemma count_sum m ids : count m ids = sum (fun y => if y =? m then 1 else 0) ids.
Proof. induction ids as [|y ids IH]; [easy|]. rewrite count_cons, sum_cons, IH. lia. Qed.

Lemma step_count m ids e rest : step ids e = Some rest ->
  count m rest = count m ids + (if mm e =? m then nr e else 0).
Proof. intros es. rewrite !count_sum, (step_sum _ _ _ _ es). destruct (mm e =? m); lia. Qed.

Lemma step_size ids e rest : step ids e = Some rest -> size rest = size ids + nr e.
Proof. intros es. rewrite <- !sum_one, (step_sum _ _ _ _ es). lia. Qed.

(** Induction from the back: how an invariant of all reachable states is shown. *)
Lemma mappings_from_app es1 : forall es2 ids,
  mappings_from ids (es1 ++ es2) =
  match mappings_from ids es1 with Some mid => mappings_from mid es2 | None => None end.
Proof.
  induction es1 as [|e es1 IH]; [easy|]. intros es2 ids. cbn [app mappings_from].
  destruct (step ids e); auto.
Qed.

Theorem invariant_from (state : Type) (move : state -> event -> state)
  (I : list Z -> state -> Prop) (ok : event -> Prop) :
  (forall ids s e rest, ok e -> I ids s -> step ids e = Some rest -> I rest (move s e)) ->
  forall es ids s rest, Forall ok es -> I ids s -> mappings_from ids es = Some rest ->
  I rest (fold_left move es s).
Proof.
  intros keep. induction es as [|e es IH]; cbn; intros ids s rest all i em.
  - now injection em as <-.
  - destruct (step ids e) as [mid|] eqn:e1; [|easy]. inversion all; subst. eauto.
Qed.

Lemma every_event es : Forall (fun _ : event => True) es.
Proof. induction es; auto. Qed.

Theorem truth_counts_proved : truth_counts.
Proof.
  intros es ids m em. unfold mappings in em.
  enough (gen : forall es start ids, mappings_from start es = Some ids ->
    count m ids = count m start + fold_right (fun e rest => (if mm e =? m then nr e else 0) + rest) 0 es)
    by now rewrite (gen _ _ _ em).
  clear. induction es as [|e es IH]; cbn; intros start ids em.
  - injection em as <-. lia.
  - destruct (step start e) as [mid|] eqn:e1; [|easy].
    rewrite (IH _ _ em), (step_count m _ _ _ e1). lia.
Qed.

Lemma remove_one_none m ids : remove_one m ids = None <-> count m ids = 0.
Proof.
  induction ids as [|y ids IH]; [easy|]. cbn [remove_one]. rewrite count_cons.
  pose proof (count_bounds m ids). destruct (Z.eqb_spec y m) as [->|ne].
  - split; [easy|lia].
  - destruct (remove_one m ids) as [r|]; cbn; [|split; [|easy]; intros _; rewrite (proj1 IH eq_refl); lia].
    split; [easy|]. intros eq. enough (Some r = None) by easy. apply IH. lia.
Qed.

Lemma remove_one_count m ids rest : remove_one m ids = Some rest -> count m ids = count m rest + 1.
Proof. intros er. rewrite !count_sum, (remove_one_sum _ _ _ _ er), Z.eqb_refl. lia. Qed.

Lemma remove_many_none m k : forall ids, remove_many k m ids = None <-> count m ids < Z.of_nat k.
Proof.
  induction k as [|k IH]; intros ids; cbn [remove_many]; pose proof (count_bounds m ids).
  - split; [easy|lia].
  - destruct (remove_one m ids) as [rest|] eqn:er.
    + rewrite IH, (remove_one_count _ _ _ er). lia.
    + apply remove_one_none in er. split; [lia|easy].
Qed.

Theorem truth_refuses_proved : truth_refuses.
Proof.
  intros ids e. unfold step. pose proof (count_bounds (mm e) ids).
  destruct (Z.ltb_spec 0 (nr e)); [split; [easy|lia]|].
  destruct (Z.ltb_spec (nr e) 0); [|split; [lia|easy]].
  rewrite remove_many_none. lia.
Qed.

(** ** The state of a linear scheme *)

Lemma run_word_sum modulus f es ids : 0 < modulus -> mappings es = Some ids ->
  run_word modulus f es = sum f ids mod modulus.
Proof.
  intros pos em. unfold run_word.
  apply (invariant_from Z _ (fun ids word => word = sum f ids mod modulus) (fun _ => True))
    with (ids := []); [|apply every_event|reflexivity|exact em].
  intros start s e rest _ -> es1. rewrite (step_sum f _ _ _ es1), Zplus_mod_idemp_l. reflexivity.
Qed.

Theorem bookkeeping_proved : bookkeeping.
Proof.
  intros modulus addends es ids pos em. unfold run. apply map_ext. intros f. now apply run_word_sum.
Qed.

(** ** Equality of words *)

Lemma same_spec modulus p q : same modulus p q = true <-> p mod modulus = q mod modulus.
Proof. unfold same. apply Z.eqb_eq. Qed.

Lemma same_mod modulus p q : 0 < modulus -> same modulus (p mod modulus) q = same modulus p q.
Proof. intros pos. unfold same. rewrite Z.mod_mod by lia. reflexivity. Qed.

Lemma same_refl modulus p : same modulus p p = true.
Proof. now apply same_spec. Qed.

(** Two numbers closer than the modulus are equal if their words are. *)
Lemma same_near modulus p q : Z.abs (p - q) < modulus -> same modulus p q = true -> p = q.
Proof.
  rewrite same_spec. intros near eq. assert (pos : modulus <> 0) by lia.
  assert (d : (p - q) mod modulus = 0) by (rewrite Zminus_mod, eq, Z.sub_diag; apply Z.mod_0_l; lia).
  apply Z.mod_divide in d as [k hk]; [|lia]. assert (k = 0) by nia. lia.
Qed.

Lemma same_diff modulus p q : 0 < modulus -> same modulus p q = true <-> (p - q) mod modulus = 0.
Proof.
  intros pos. rewrite same_spec. split; intros eq.
  - rewrite Zminus_mod, eq, Z.sub_diag. apply Z.mod_0_l. lia.
  - apply Z.mod_divide in eq as [k hk]; [|lia]. replace p with (q + k * modulus) by lia.
    apply Z.mod_add. lia.
Qed.

(** The words of a state may be compared before or after they wrapped. *)
Lemma all_same_wrapped modulus n ids : 0 < modulus -> forall addends callers x,
  all_same modulus n (map (fun a => sum a ids mod modulus) addends) callers x =
  all_same modulus n (map (fun a => sum a ids) addends) callers x.
Proof.
  intros pos. induction addends as [|a addends IH]; intros callers x; [easy|].
  cbn [map all_same]. destruct callers; [easy|]. now rewrite IH, same_mod.
Qed.

Lemma all_same_spec modulus n ids addends x :
  all_same modulus n (map (fun a => sum a ids) addends) addends x = true <->
  forall a, In a addends -> same modulus (sum a ids) (n * a x) = true.
Proof.
  induction addends as [|a addends IH]; cbn [map all_same]; [easy|].
  rewrite andb_true_iff, IH. split.
  - intros [h1 h2] b [<-|hb]; auto.
  - intros all. split; [apply all; now left|]. intros b hb. apply all. now right.
Qed.

Lemma all_same_exclusive modulus ids addends x : exclusive_to x ids ->
  all_same modulus (size ids) (map (fun a => sum a ids) addends) addends x = true.
Proof.
  intros ex. apply all_same_spec. intros a _. rewrite (sum_exclusive a x ids ex). apply same_refl.
Qed.

(** ** Powers of two, and the largest number that passes *)

Lemma pow2_pos e : 0 <= e -> 0 < 2^e.
Proof. intros. now apply Z.pow_pos_nonneg. Qed.

Lemma largest_passes passes fuel : 0 < largest passes fuel -> passes (largest passes fuel) = true.
Proof.
  induction fuel as [|fuel IH]; cbn [largest]; [easy|].
  destruct (passes (Z.of_nat (S fuel))) eqn:eq; auto.
Qed.

Lemma largest_is_largest passes fuel i :
  passes i = true -> 0 <= i <= Z.of_nat fuel -> i <= largest passes fuel.
Proof.
  intros hp. induction fuel as [|fuel IH]; cbn [largest]; [lia|].
  destruct (passes (Z.of_nat (S fuel))) eqn:eq; [lia|]. intros hi. apply IH.
  destruct (Z.eq_dec i (Z.of_nat (S fuel))) as [->|]; [congruence|lia].
Qed.
