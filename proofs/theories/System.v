(** * From page tables to what a process reads

    What: a machine with pages, address spaces, pins, fork, COW faults and a scheme; and the claims about it.
    For: a reviewer, after Definitions.v and Statements.v.
    Not: interleavings (a move is atomic), writes through pins, files. *)

From Coq Require Import ZArith List Bool.
From Rmaplab Require Import Definitions Witnesses Statements.
Import ListNotations.
Open Scope Z_scope.

(** A scheme: what it keeps for a folio, and what it answers. *)
Record judge := Judge { kept : Type; fresh : kept; learn : kept -> event -> kept; says : kept -> Z -> verdict }.

(** A view of a page: a page table entry, or a pin ([pinned]: a GUP reference, that outlives the entry it was taken
    through). [seen] is a ghost: what its owner should read there, that is what was there when the view was made, or what the
    owner wrote since. *)
Record view := View { owner_of : Z; folio_of : Z; page_of : Z; pinned : bool; writable : bool; seen : Z }.

(** [extra]: references that are neither (swap cache, a walker passing by). [history]: the folio's rmap events. *)
Record world := World { views : list view; content : Z -> Z -> Z; extra : Z -> Z; history : Z -> list event }.

Definition empty_world : world := World [] (fun _ _ => 0) (fun _ => 0) (fun _ => []).

Definition on_folio (f : Z) (v : view) : bool := folio_of v =? f.
Definition on_page (f p : Z) (v : view) : bool := (folio_of v =? f) && (page_of v =? p).

Definition number (select : view -> bool) (vs : list view) : Z := Z.of_nat (length (filter select vs)).
Definition mapcount (w : world) (f : Z) : Z := number (fun v => on_folio f v && negb (pinned v)) (views w).
Definition refcount (w : world) (f : Z) : Z := number (on_folio f) (views w) + extra w f.

(** The COW decision: the scheme says exclusive, and every reference is a mapping. *)
Definition reuse (j : judge) (w : world) (v : view) : Prop :=
  says j (fold_left (learn j) (history w (folio_of v)) (fresh j)) (owner_of v) = EXCLUSIVE /\
  refcount w (folio_of v) = mapcount w (folio_of v).

Definition protect (f p : Z) (v : view) : view :=
  if on_page f p v then View (owner_of v) (folio_of v) (page_of v) (pinned v) false (seen v) else v.

(** MM [m] wrote [x] to a page: its own views of the page show it. *)
Definition written (m f p x : Z) (v : view) : view :=
  if on_page f p v && (owner_of v =? m)
  then View (owner_of v) (folio_of v) (page_of v) (pinned v) (negb (pinned v)) x else v.

Definition store (f p x : Z) (c : Z -> Z -> Z) : Z -> Z -> Z :=
  fun g q => if (g =? f) && (q =? p) then x else c g q.

Definition log (f : Z) (e : event) (h : Z -> list event) : Z -> list event :=
  fun g => if g =? f then h g ++ [e] else h g.

(** [each] is done to [k] pages in a row, from [p] on. *)
Inductive batch {S : Type} (each : Z -> S -> S -> Prop) : Z -> S -> S -> Z -> Prop :=
  | Nothing : forall p s, batch each p s s 0
  | Another : forall p s s' s'' k, each p s s' -> batch each (p + 1) s' s'' k -> batch each p s s'' (k + 1).

(** A page nobody has a view of, of a new folio or of one in use, is filled and mapped. *)
Inductive touch (m f p : Z) : list view * (Z -> Z -> Z) -> list view * (Z -> Z -> Z) -> Prop :=
  | Touched : forall vs c x, (forall v, In v vs -> on_page f p v = false) ->
      touch m f p (vs, c) (View m f p false true x :: vs, store f p x c).

(** Fork: an entry is copied, nobody may write the page any more. *)
Inductive copy (child f p : Z) (vs : list view) : list view -> Prop :=
  | Copied : forall v, In v vs -> folio_of v = f -> page_of v = p -> pinned v = false ->
      copy child f p vs (View child f p false false (seen v) :: map (protect f p) vs).

Inductive drop (m f p : Z) : list view -> list view -> Prop :=
  | Dropped : forall before v after, owner_of v = m -> folio_of v = f -> page_of v = p -> pinned v = false ->
      drop m f p (before ++ v :: after) (before ++ after).

(** Several pages of a folio are mapped, forked or unmapped at once: one rmap update. *)
Inductive move (j : judge) (w : world) : world -> Prop :=
  | Touch : forall m f p k vs c, 1 <= m -> 0 < k -> batch (touch m f) p (views w, content w) (vs, c) k ->
      move j w (World vs c (extra w) (log f (Ev m p k false) (history w)))
  | Share : forall child f p k vs, 1 <= child -> 0 < k -> batch (copy child f) p (views w) vs k ->
      move j w (World vs (content w) (extra w) (log f (Ev child p k false) (history w)))
  | Pin : forall v, In v (views w) -> pinned v = false ->
      move j w (World (View (owner_of v) (folio_of v) (page_of v) true false (seen v) :: views w)
                      (content w) (extra w) (history w))
  (* unmap (one step of an exit, the first of a COW copy, whose second is Touch) *)
  | Unmap : forall m f p k vs, 0 < k -> batch (drop m f) p (views w) vs k ->
      move j w (World vs (content w) (extra w) (log f (Ev m p (- k) false) (history w)))
  | Unpin : forall before v after, views w = before ++ v :: after -> pinned v = true ->
      move j w (World (before ++ after) (content w) (extra w) (history w))
  | Hold : forall f k, 0 <= k ->
      move j w (World (views w) (content w) (fun g => if g =? f then k else extra w g) (history w))
  (* a write: the entry allows it, or the fault keeps the page *)
  | Write : forall v x, In v (views w) -> pinned v = false -> writable v = true \/ reuse j w v ->
      move j w (World (map (written (owner_of v) (folio_of v) (page_of v) x) (views w))
                      (store (folio_of v) (page_of v) x (content w)) (extra w) (history w)).

(** What can happen while every folio's history is one that the scheme has room for. *)
Inductive reachable (room : list event -> Prop) (j : judge) : world -> Prop :=
  | Start : reachable room j empty_world
  | Next : forall w w', reachable room j w -> (forall f, room (history w f)) -> move j w w' -> reachable room j w'.

(** No MM ever reads what another wrote after their fork. *)
Definition isolated (w : world) : Prop := forall v, In v (views w) -> content w (folio_of v) (page_of v) = seen v.

Definition never_false_exclusive (room : list event -> Prop) (j : judge) : Prop := forall es ids x,
  room es -> real_mms es -> mappings es = Some ids -> In x ids ->
  says j (fold_left (learn j) es (fresh j)) x = EXCLUSIVE -> exclusive_to x ids.

(** ** The claims *)

(** A scheme that is never false exclusive keeps processes apart. *)
Definition non_interference : Prop := forall room j,
  never_false_exclusive room j -> forall w, reachable room j w -> isolated w.

(** A scheme that is right both ways keeps the page of who is alone with it. *)
Definition never_false_shared (room : list event -> Prop) (j : judge) : Prop := forall es ids x,
  room es -> real_mms es -> mappings es = Some ids -> In x ids -> exclusive_to x ids ->
  says j (fold_left (learn j) es (fresh j)) x = EXCLUSIVE.

(** [v] is a mapping, and all that holds its folio are mappings of the same MM. *)
Definition alone_with (w : world) (v : view) : Prop := In v (views w) /\ pinned v = false /\ extra w (folio_of v) = 0 /\
  forall u, In u (views w) -> folio_of u = folio_of v -> owner_of u = owner_of v /\ pinned u = false.

(** Where the history [now] is one that the scheme knows all about, whoever is alone with its folio keeps it. *)
Definition reuses (room now : list event -> Prop) (j : judge) : Prop := forall w v,
  reachable room j w -> room (history w (folio_of v)) -> now (history w (folio_of v)) -> alone_with w v -> reuse j w v.

Definition liveness : Prop := forall room now j,
  never_false_exclusive room j -> never_false_shared (fun es => room es /\ now es) j -> reuses room now j.

(** With IDs that come again: the scheme is told IDs, the processes are MMs. *)
Definition told (id : Z -> Z) (j : judge) : judge :=
  Judge (kept j) (fresh j) (fun s e => learn j s (rename id e)) (fun s x => says j s (id x)).

Definition told_room (id : Z -> Z) (room : list event -> Prop) (es : list event) : Prop :=
  room (map (rename id) es) /\ always (no_two_holders id) [] es.

Definition non_interference_with_reused_ids : Prop := forall id room j,
  never_false_exclusive room j -> (forall m, 1 <= id m) ->
  forall w, reachable (told_room id room) (told id j) w -> isolated w.

Definition mm_id_judge : judge := Judge mm_id mm_id_start mm_id_step (fun s _ => mm_id_verdict s).

Definition moments_flag_judge (ws wq bound : Z) : judge :=
  Judge moments_flag moments_flag_start (moments_flag_step ws wq bound) (fun s _ => moments_flag_verdict s).

Definition owner_counter_judge : judge :=
  Judge owner_counter owner_counter_start owner_counter_step owner_counter_verdict.

Definition linear_judge (modulus : Z) (addends : list (Z -> Z)) (verdict_of : list Z -> Z -> verdict) : judge :=
  Judge (list event) [] (fun es e => es ++ [e]) (fun es => verdict_of (run modulus addends es)).

Definition first_page_judge (answer : first_page -> verdict) : judge :=
  Judge first_page (FirstPage 0 0 0) first_page_step (fun s _ => answer s).

Definition anything (_ : list event) : Prop := True.

(** [n] mappings at most. *)
Definition up_to (n : Z) (es : list event) : Prop := forall ids, mappings es = Some ids -> size ids <= n.

(** IDs of [b] bits, and a mapcount that fits [n] values. *)
Definition fits (n b : Z) (es : list event) : Prop := Forall (fun e => is_id b (mm e)) es /\ up_to (n - 1) es.

(** Since the folio was last unmapped, two MMs at most have mapped it at a time. *)
Definition two_at_a_time (es : list event) : Prop := exists before since,
  es = before ++ since /\ mappings before = Some [] /\ always at_most_two [] since.

Definition bits_judge (W : Z) (b : nat) : judge := linear_judge (2^W) (bits_addends b) (bits_verdict (2^W) b).
Definition moments_judge (W b : Z) : judge := linear_judge (2^W) moments_addends (moments_verdict W b).
Definition one_value_judge (W o a c : Z) : judge := linear_judge (2^W) (one_value_addends o a c) (one_value_verdict W o a c).
Definition packed_judge (W f b : Z) : judge := linear_judge (2^W) (packed_addends f) (packed_verdict W f b).
Definition generations_safe_judge (W o b : Z) : judge := linear_judge (2^W) (safe_addends W o b) (safe_verdict W o b).

(** The series' own table. *)
Definition posted_judge (o : Z) : judge :=
  let '(K, B, base) := posted o in linear_judge (2^64) (generations_addends base B K) (generations_verdict (2^64) base B K (2^o)).

Definition mm_id_isolates : Prop := forall w, reachable anything mm_id_judge w -> isolated w.
Definition owner_counter_isolates : Prop := forall w, reachable anything owner_counter_judge w -> isolated w.

Definition moments_flag_isolates : Prop := forall ws wq b N w,
  reachable (moments_flag_premise ws wq b N) (moments_flag_judge ws wq (moments_flag_bound wq b)) w -> isolated w.

Definition bits_isolates : Prop := forall W b w, 0 <= W ->
  reachable (fits (2^W) (Z.of_nat b)) (bits_judge W b) w -> isolated w.

Definition moments_isolates : Prop := forall W b w, 0 <= W ->
  reachable (fits (2^W) b) (moments_judge W b) w -> isolated w.

Definition one_value_isolates : Prop := forall W o a c w, 0 <= W -> 0 <= o -> 0 <= a -> 0 <= c -> one_value_fits W o a c = true ->
  reachable (fits (2^W) (a + c)) (one_value_judge W o a c) w -> isolated w.

Definition packed_isolates : Prop := forall W f b w, 1 <= f <= W ->
  reachable (fits (2^(f - 1)) b) (packed_judge W f b) w -> isolated w.

Definition generations_safe_isolates : Prop := forall W o b w, 0 <= o < W -> 0 < b ->
  reachable (fits (2^W) b) (generations_safe_judge W o b) w -> isolated w.

(** The posted table where it is sound; for the other orders see [posted_leaks]. *)
Definition posted_isolates : Prop := forall o w, 2 <= o <= 6 \/ 10 <= o <= 15 ->
  reachable (fits (2^64) 24) (posted_judge o) w -> isolated w.

(** ** And they keep what they can *)

Definition mm_id_reuses : Prop := reuses anything two_at_a_time mm_id_judge.

Definition moments_flag_reuses : Prop := forall ws wq b N,
  reuses (moments_flag_premise ws wq b N) (up_to (moments_flag_bound wq b / (2^b - 1))) (moments_flag_judge ws wq (moments_flag_bound wq b)).

Definition bits_reuses : Prop := forall W b, 0 <= W -> reuses (fits (2^W) (Z.of_nat b)) anything (bits_judge W b).

Definition moments_reuses : Prop := forall W b, 0 <= W ->
  reuses (fits (2^W) b) (up_to (moments_limit W b)) (moments_judge W b).

Definition one_value_reuses : Prop := forall W o a c, 0 <= W -> 0 <= o -> 0 <= a -> 0 <= c -> one_value_fits W o a c = true ->
  reuses (fits (2^W) (a + c)) (up_to (2^o)) (one_value_judge W o a c).

Definition packed_reuses : Prop := forall W f b, 1 <= f <= W ->
  reuses (fits (2^(f - 1)) b) (up_to (packed_limit W f b)) (packed_judge W f b).

Definition generations_safe_reuses : Prop := forall W o b, 0 <= o < W -> 0 < b ->
  reuses (fits (2^W) b) (up_to (2^o)) (generations_safe_judge W o b).

Definition posted_reuses : Prop := forall o, 2 <= o <= 6 \/ 10 <= o <= 15 ->
  reuses (fits (2^64) 24) (up_to (2^o)) (posted_judge o).

(** ** Who is wrong leaks *)

(** A run on pages 0 .. P - 1 of one folio after which somebody reads what another wrote. *)
Definition leaks (P : Z) (j : judge) : Prop := exists w, reachable anything j w /\
  (forall v, In v (views w) -> folio_of v = 0 /\ 0 <= page_of v < P) /\ ~ isolated w.

(** The heuristics: two moves and a write. *)
Definition estimated_sharers_leaks : Prop := leaks 2 (first_page_judge estimated_sharers_verdict).
Definition likely_shared_leaks : Prop := forall o, 2 <= o -> leaks 2 (first_page_judge (likely_shared_verdict (2^o))).

(** A configuration of a linear scheme, up to the number of pages. *)
Definition equation_judge (t : witness) : judge :=
  Judge (list event) [] (fun es e => es ++ [e])
    (fun es x => match mappings es with
      | Some ids =>
          if (size ids <=? 2^order t) && equation (scheme t) (word_bits t) (order t) ids x then EXCLUSIVE else SHARED
      | None => UNKNOWN
      end).

(** The converse of non-interference: a witness is a run that leaks, if one page is left for the MM that asks. *)
Definition collision_leaks : Prop := forall t,
  collision t -> size (witness_ids t) < 2^order t -> leaks (2^order t) (equation_judge t).

Definition witnesses_leak : Prop := Forall (fun t => leaks (2^order t) (equation_judge t)) witnesses.

(** So does the posted table itself, where it is refuted. *)
Definition posted_leaks : Prop := forall o, 7 <= o <= 9 -> leaks (2^o) (posted_judge o).

(** Without the reference count the best scheme leaks: the child pins, and unmaps. *)
Definition reuse_needs_references : Prop := exists w v,
  reachable anything mm_id_judge w /\ In v (views w) /\ pinned v = false /\
  says mm_id_judge (fold_left mm_id_step (history w (folio_of v)) mm_id_start) (owner_of v) = EXCLUSIVE /\
  exists u, In u (views w) /\ owner_of u <> owner_of v /\ on_page (folio_of v) (page_of v) u = true.
