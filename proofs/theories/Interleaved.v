(** * Step by step, with words that end and IDs that come again

    What: System.v's machine taken apart, for one large folio: an rmap update, a fork, an unmapping and a COW fault are several steps,
    and anybody's steps may come between; mapcounts that saturate; the claims about both.
    For: a reviewer, after System.v.
    Not: how a lock or a sequence count makes a section (the race checker's business), writes through pins, files. *)

From Coq Require Import ZArith List Bool.
From Rmaplab Require Import Definitions Statements System.
Import ListNotations.
Open Scope Z_scope.

(** ** Mapcounts that saturate *)

(** A scheme whose mapcount has a last value, [top]: an update that leaves [0 .. top] ends it, for ever. *)
Definition bounded (top : Z) (j : judge) : judge :=
  Judge (option (Z * kept j)) (Some (0, fresh j))
    (fun s e => match s with
      | Some (n, k) => if (0 <=? n + nr e) && (n + nr e <=? top) then Some (n + nr e, learn j k e) else None
      | None => None
      end)
    (fun s x => match s with Some (_, k) => says j k x | None => SHARED end).

Definition after (j : judge) (es : list event) : kept j := fold_left (learn j) es (fresh j).

Definition within (top : Z) (es : list event) : Prop := always (fun ids => size ids <= top) [] es.

(** Up to the limit it answers as the scheme does; once beyond it, SHARED, whatever comes. *)
Definition saturation_answers : Prop := forall top j es ids more x,
  0 <= top -> mappings es = Some ids ->
  (within top es -> says (bounded top j) (after (bounded top j) es) x = says j (after j es) x) /\
  (~ within top es -> says (bounded top j) (after (bounded top j) (es ++ more)) x = SHARED).

(** So whoever is right up to the limit is right with any number of mappings. *)
Definition saturation_right : Prop := forall top j (good : Z -> Prop), 0 <= top ->
  never_false_exclusive (fun es => Forall (fun e => good (mm e)) es /\ within top es) j ->
  never_false_exclusive (fun es => Forall (fun e => good (mm e)) es) (bounded top j).

(** packed keeps no mark beside its words: it stores the last mapcount with a sum of 0, and that is nobody's, whatever
    the squares are. *)
Definition packed_saturated : Prop := forall w f b q x,
  2 <= f < w -> is_id (w - f) x -> packed_verdict w f b [2^(f - 1) - 1; q] x = SHARED.

(** ** Holders of references *)

(** Coming: [Referenced] (the reference is taken), [Counted] (the scheme knows), [Protected] (nobody may write the page any more).
    There: [Mapped]. Going: [Cleared] (the entry is gone, a CPU may still use it), [Uncounted] (the scheme knows); then CPUs are
    told, and the reference is dropped. [Pinned] is a reference that is no mapping. *)
Inductive phase := Referenced | Counted | Protected | Mapped | Cleared | Uncounted | Pinned.

(** [parent]: whom a coming holder copies the entry of; its own MM if the page is new. [expects] is a ghost, as [seen] is. *)
Record holder := Holder { mm_of : Z; page_at : Z; in_phase : phase; parent : Z; can_write : bool; expects : Z }.

(** A COW fault under its page table's lock. [begun]: the rmap updates when it began to look; what it read since. *)
Record fault := Fault {
  fault_mm : Z; fault_page : Z; begun : list event; read_count : option Z; read_refs : option Z; granted : bool }.

(** [count_word]: the mapcount in memory. [section]: who updates scheme and mapcount is between the two, and the mapcount
    lacks that much. *)
Record state := State {
  holders : list holder; memory : Z -> Z; other_refs : Z; updates : list event;
  count_word : Z; section : option Z; faults : list fault }.

Definition nothing_yet : state := State [] (fun _ => 0) 0 [] 0 None [].

Definition counted (h : holder) : bool :=
  match in_phase h with Counted | Protected | Mapped | Cleared => true | _ => false end.
Definition coming (h : holder) : bool :=
  match in_phase h with Referenced | Counted | Protected => true | _ => false end.

Definition held_refs (w : state) : Z := Z.of_nat (length (holders w)) + other_refs w.
Definition held_maps (w : state) : Z := Z.of_nat (length (filter counted (holders w))).

(** ** Changes *)

Definition with_holders (hs : list holder) (w : state) : state :=
  State hs (memory w) (other_refs w) (updates w) (count_word w) (section w) (faults w).
Definition with_memory (p x : Z) (w : state) : state :=
  State (holders w) (fun q => if q =? p then x else memory w q) (other_refs w) (updates w) (count_word w) (section w) (faults w).
Definition with_faults (fs : list fault) (w : state) : state :=
  State (holders w) (memory w) (other_refs w) (updates w) (count_word w) (section w) fs.

(** The scheme's words change; the mapcount follows before the section ends. *)
Definition with_update (e : event) (w : state) : state :=
  State (holders w) (memory w) (other_refs w) (updates w ++ [e]) (count_word w) (Some (nr e)) (faults w).

Definition turn (p : phase) (h : holder) : holder := Holder (mm_of h) (page_at h) p (parent h) (can_write h) (expects h).
Definition shield (p : Z) (h : holder) : holder :=
  if page_at h =? p then Holder (mm_of h) (page_at h) (in_phase h) (parent h) false (expects h) else h.
Definition wrote (m p x : Z) (h : holder) : holder :=
  if (page_at h =? p) && (mm_of h =? m) then Holder (mm_of h) (page_at h) (in_phase h) (parent h) (can_write h) x else h.

Definition no_fault (w : state) (m p : Z) : Prop :=
  forall f, In f (faults w) -> fault_mm f = m -> fault_page f = p -> False.
Definition no_child (w : state) (m p : Z) : Prop :=
  forall h, In h (holders w) -> coming h = true -> page_at h = p -> parent h <> m.

(** Of [m]'s holders, one of page [p] changes its phase. *)
Inductive turned (m : Z) (old new : phase) (p : Z) : list holder -> list holder -> Prop :=
  | Turned : forall l h r, mm_of h = m -> page_at h = p -> in_phase h = old ->
      turned m old new p (l ++ h :: r) (l ++ turn new h :: r).

(** Since [f] began to look nobody has updated scheme or mapcount. *)
Definition settled (w : state) (f : fault) : Prop := updates w = begun f /\ section w = None.

(** One rmap update is of [k] pages in a row, in one section. All else is page by page: a kernel that does it to several at once
    lets nothing come between. *)
Inductive act (j : judge) (w : state) : state -> Prop :=
  (* a page nobody holds is brought in: reference, update, then (TouchEnd) contents and entry *)
  | TouchBegin : forall m p, 1 <= m -> (forall h, In h (holders w) -> page_at h <> p) ->
      act j w (with_holders (Holder m p Referenced m false 0 :: holders w) w)
  (* fork, under the page table's lock of the parent's entry: reference, update, protection, entry *)
  | ForkBegin : forall h child, In h (holders w) -> in_phase h = Mapped -> 1 <= child -> child <> mm_of h ->
      no_fault w (mm_of h) (page_at h) ->
      act j w (with_holders (Holder child (page_at h) Referenced (mm_of h) false 0 :: holders w) w)
  | CountIn : forall m p k hs, 0 < k -> batch (turned m Referenced Counted) p (holders w) hs k -> section w = None ->
      act j w (with_update (Ev m p k false) (with_holders hs w))
  | Shield : forall l h r, holders w = l ++ h :: r -> in_phase h = Counted ->
      act j w (with_holders (map (shield (page_at h)) l ++ shield (page_at h) (turn Protected h) :: map (shield (page_at h)) r) w)
  | ForkEnd : forall l h r, holders w = l ++ h :: r -> in_phase h = Protected -> parent h <> mm_of h ->
      act j w (with_holders (l ++ Holder (mm_of h) (page_at h) Mapped (parent h) false (memory w (page_at h)) :: r) w)
  | TouchEnd : forall l h r x, holders w = l ++ h :: r -> in_phase h = Protected -> parent h = mm_of h ->
      (forall u, In u (l ++ r) -> page_at u <> page_at h) ->
      act j w (with_memory (page_at h) x (with_holders (l ++ Holder (mm_of h) (page_at h) Mapped (parent h) true x :: r) w))
  (* unmapping: the entry goes under its page table's lock, then the update, then the reference *)
  | Clear : forall l h r, holders w = l ++ h :: r -> in_phase h = Mapped ->
      no_fault w (mm_of h) (page_at h) -> no_child w (mm_of h) (page_at h) ->
      act j w (with_holders (l ++ turn Cleared h :: r) w)
  | CountOut : forall m p k hs, 0 < k -> batch (turned m Cleared Uncounted) p (holders w) hs k -> section w = None ->
      act j w (with_update (Ev m p (- k) false) (with_holders hs w))
  | Release : forall l h r, holders w = l ++ h :: r -> in_phase h = Uncounted \/ in_phase h = Pinned ->
      act j w (with_holders (l ++ r) w)
  | PinPage : forall h, In h (holders w) -> in_phase h = Mapped ->
      act j w (with_holders (Holder (mm_of h) (page_at h) Pinned (mm_of h) false (expects h) :: holders w) w)
  | OtherRefs : forall k, 0 <= k ->
      act j w (State (holders w) (memory w) k (updates w) (count_word w) (section w) (faults w))
  | SectionEnd : forall d, section w = Some d ->
      act j w (State (holders w) (memory w) (other_refs w) (updates w) (count_word w + d) None (faults w))
  (* a COW fault takes its page table's lock, and looks while nobody is in a section, as often as it likes *)
  | FaultBegin : forall h, In h (holders w) -> in_phase h = Mapped -> section w = None ->
      no_fault w (mm_of h) (page_at h) -> no_child w (mm_of h) (page_at h) ->
      act j w (with_faults (Fault (mm_of h) (page_at h) (updates w) None None false :: faults w) w)
  | FaultAgain : forall l f r, faults w = l ++ f :: r -> section w = None ->
      act j w (with_faults (l ++ Fault (fault_mm f) (fault_page f) (updates w) None None false :: r) w)
  | FaultCount : forall l f r, faults w = l ++ f :: r ->
      act j w (with_faults (l ++ Fault (fault_mm f) (fault_page f) (begun f) (Some (count_word w)) (read_refs f) (granted f) :: r) w)
  | FaultRefs : forall l f r, faults w = l ++ f :: r ->
      act j w (with_faults (l ++ Fault (fault_mm f) (fault_page f) (begun f) (read_count f) (Some (held_refs w)) (granted f) :: r) w)
  (* the decision: nobody was in a section meanwhile, the scheme says EXCLUSIVE, and every reference is a mapping *)
  | FaultGrant : forall l f r n, faults w = l ++ f :: r -> settled w f -> read_count f = Some n -> read_refs f = Some n ->
      says j (after j (begun f)) (fault_mm f) = EXCLUSIVE ->
      act j w (with_faults (l ++ Fault (fault_mm f) (fault_page f) (begun f) (read_count f) (read_refs f) true :: r) w)
  (* later: the entry becomes writable *)
  | FaultKeep : forall f l h r, In f (faults w) -> granted f = true ->
      holders w = l ++ h :: r -> in_phase h = Mapped -> mm_of h = fault_mm f -> page_at h = fault_page f ->
      act j w (with_holders (l ++ Holder (mm_of h) (page_at h) Mapped (parent h) true (expects h) :: r) w)
  | FaultEnd : forall l f r, faults w = l ++ f :: r -> act j w (with_faults (l ++ r) w)
  (* a CPU writes, through an entry or through what it remembers of one *)
  | Store : forall h x, In h (holders w) -> coming h = false -> in_phase h <> Pinned -> can_write h = true ->
      act j w (with_memory (page_at h) x (with_holders (map (wrote (mm_of h) (page_at h) x) (holders w)) w)).

Inductive happens (room : list event -> Prop) (j : judge) : state -> Prop :=
  | Before : happens room j nothing_yet
  | Then : forall w w', happens room j w -> room (updates w) -> act j w w' -> happens room j w'.

(** Whoever can read the page reads what it should. *)
Definition apart (w : state) : Prop :=
  forall h, In h (holders w) -> coming h = false -> memory w (page_at h) = expects h.

(** ** The claims *)

(** The order of the steps keeps the references above the mappings, at every moment. *)
Definition refs_bound_maps : Prop := forall room j,
  never_false_exclusive room j -> forall w, happens room j w ->
  held_maps w <= held_refs w /\ (section w = None -> count_word w = held_maps w).

(** Whatever comes between whose steps: a scheme that is never false exclusive keeps processes apart. *)
Definition interleaved_non_interference : Prop := forall room j,
  never_false_exclusive room j -> forall w, happens room j w -> apart w.

(** And faults are granted, after an update of two pages at once: the claims are not about nothing. *)
Definition faults_are_granted : Prop := exists w f,
  happens anything mm_id_judge w /\ updates w = [Ev 1 0 2 false] /\ In f (faults w) /\ granted f = true.

(** While a fault has its grant, all who hold its page are its own MM. *)
Definition granted_page_is_private : Prop := forall room j,
  never_false_exclusive room j -> forall w f h, happens room j w ->
  In f (faults w) -> granted f = true -> In h (holders w) -> page_at h = fault_page f -> mm_of h = fault_mm f.

(** Nobody holds the folio but [m], by entries; nobody is at an update of it, nor [m] at a fault on [p] already. *)
Definition all_mine (w : state) (m p : Z) : Prop :=
  (exists h, In h (holders w) /\ page_at h = p) /\ (forall h, In h (holders w) -> mm_of h = m /\ in_phase h = Mapped) /\
  other_refs w = 0 /\ section w = None /\ no_fault w m p.

(** A fault of [m] on [p] can have its grant, by steps of its own. *)
Definition can_keep (room : list event -> Prop) (j : judge) (w : state) (m p : Z) : Prop := exists w' f,
  happens room j w' /\ holders w' = holders w /\ memory w' = memory w /\ updates w' = updates w /\
  In f (faults w') /\ fault_mm f = m /\ fault_page f = p /\ granted f = true.

(** So who is alone with its folio keeps it, where the scheme knows all about [now]. *)
Definition interleaved_liveness : Prop := forall room now j,
  never_false_exclusive room j -> never_false_shared (fun es => room es /\ now es) j -> forall w m p,
  happens room j w -> room (updates w) -> now (updates w) -> all_mine w m p -> can_keep room j w m p.

(** IDs of [b] bits that come again, but never for two who map the folio at one moment; any number of mappings. *)
Definition recycled (id : Z -> Z) (b : Z) (es : list event) : Prop :=
  told_room id (fun es => Forall (fun e => is_id b (mm e)) es) es.

Definition kept_is_private (id : Z -> Z) (b : Z) (j : judge) : Prop := forall w,
  happens (recycled id b) (told id j) w -> apart w /\
  forall f h, In f (faults w) -> granted f = true -> In h (holders w) -> page_at h = fault_page f -> mm_of h = fault_mm f.

(** The end of the road: bounded words, recycled IDs, any interleaving: a COW fault that keeps its page keeps one that
    nobody else can read. *)
Definition moments_flag_keeps_private : Prop := forall id ws wq b top,
  (forall m, 1 <= id m) -> 0 <= ws -> 0 <= wq -> 0 < b -> 0 <= top -> top * (2^b - 1) < 2^ws ->
  kept_is_private id b (bounded top (moments_flag_judge ws wq (moments_flag_bound wq b))).

Definition moments_keeps_private : Prop := forall id w b top,
  (forall m, 1 <= id m) -> 0 <= w -> 0 <= top < 2^w ->
  kept_is_private id b (bounded top (moments_judge w b)).

Definition packed_keeps_private : Prop := forall id w f b top,
  (forall m, 1 <= id m) -> 1 <= f <= w -> 0 <= top < 2^(f - 1) ->
  kept_is_private id b (bounded top (packed_judge w f b)).

Definition generations_safe_keeps_private : Prop := forall id w o b top,
  (forall m, 1 <= id m) -> 0 <= o < w -> 0 < b -> 0 <= top < 2^w ->
  kept_is_private id b (bounded top (generations_safe_judge w o b)).

Definition mm_id_keeps_private : Prop := forall id b top,
  (forall m, 1 <= id m) -> 0 <= top -> kept_is_private id b (bounded top mm_id_judge).

(** With the widths of core/: 31-bit mapcounts (23 bits in packed, which ends one earlier), 64-bit words. *)
Definition core_keeps_private : Prop := forall id o, (forall m, 1 <= id m) -> 1 <= o <= 21 ->
  kept_is_private id 22 (bounded (2^31 - 1) (moments_flag_judge 62 64 (moments_flag_bound 64 22))) /\
  kept_is_private id (moments_bits 64 o)
    (bounded (2^31 - 1) (moments_judge 64 (moments_bits 64 o))) /\
  kept_is_private id (packed_bits 64 24 o)
    (bounded (2^23 - 2) (packed_judge 64 24 (packed_bits 64 24 o))) /\
  kept_is_private id 24 (bounded (2^31 - 1) (generations_safe_judge 64 o 24)) /\
  kept_is_private id 31 (bounded (2^31 - 1) mm_id_judge).

(** In 32-bit words: Linux' two slots have 8 bytes there. moments-flag: 30 and 32 bits, IDs of 15 bits, and a mapcount that
    ends at 2^15; mm-id: IDs of 15 bits, counts of 15. *)
Definition words_of_32_keep_private : Prop := forall id, (forall m, 1 <= id m) ->
  kept_is_private id 15 (bounded (2^15) (moments_flag_judge 30 32 (moments_flag_bound 32 15))) /\
  kept_is_private id 15 (bounded (2^15 - 1) mm_id_judge).

(** And it keeps what it can: the other half, with the same premises. [now]: what the scheme has to know of the updates. *)
Definition kept_if_alone (id : Z -> Z) (b top : Z) (now : list event -> Prop) (j : judge) : Prop := forall w m p,
  happens (recycled id b) (told id (bounded top j)) w -> recycled id b (updates w) ->
  within top (map (rename id) (updates w)) -> now (map (rename id) (updates w)) ->
  all_mine w m p -> can_keep (recycled id b) (told id (bounded top j)) w m p.

Definition moments_flag_keeps_its_own : Prop := forall id ws wq b top,
  (forall m, 1 <= id m) -> 0 <= ws -> 0 <= wq -> 0 < b -> 0 <= top -> top * (2^b - 1) < 2^ws ->
  kept_if_alone id b top (up_to (moments_flag_bound wq b / (2^b - 1))) (moments_flag_judge ws wq (moments_flag_bound wq b)).

Definition moments_keeps_its_own : Prop := forall id w b top,
  (forall m, 1 <= id m) -> 0 <= w -> 0 <= top < 2^w ->
  kept_if_alone id b top (up_to (moments_limit w b)) (moments_judge w b).

Definition packed_keeps_its_own : Prop := forall id w f b top,
  (forall m, 1 <= id m) -> 1 <= f <= w -> 0 <= top < 2^(f - 1) ->
  kept_if_alone id b top (up_to (packed_limit w f b)) (packed_judge w f b).

Definition generations_safe_keeps_its_own : Prop := forall id w o b top,
  (forall m, 1 <= id m) -> 0 <= o < w -> 0 < b -> 0 <= top < 2^w ->
  kept_if_alone id b top (up_to (2^o)) (generations_safe_judge w o b).

Definition mm_id_keeps_its_own : Prop := forall id b top,
  (forall m, 1 <= id m) -> 0 <= top -> kept_if_alone id b top two_at_a_time mm_id_judge.

(** With the widths of core/: a folio whose every page is mapped once, and more; moments-flag up to 2^20. *)
Definition core_keeps_its_own : Prop := forall id o, (forall m, 1 <= id m) -> 1 <= o <= 21 ->
  kept_if_alone id 22 (2^31 - 1) (up_to (2^20)) (moments_flag_judge 62 64 (moments_flag_bound 64 22)) /\
  kept_if_alone id (moments_bits 64 o) (2^31 - 1) (up_to (2^o)) (moments_judge 64 (moments_bits 64 o)) /\
  kept_if_alone id (packed_bits 64 24 o) (2^23 - 2) (up_to (2^o)) (packed_judge 64 24 (packed_bits 64 24 o)) /\
  kept_if_alone id 24 (2^31 - 1) (up_to (2^o)) (generations_safe_judge 64 o 24) /\
  kept_if_alone id 31 (2^31 - 1) two_at_a_time mm_id_judge.
