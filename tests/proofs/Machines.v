(** For test_link_machines.py: programs on System.v's machine, by [play], and on Interleaved.v's, one operation after the
    other, by the functions its steps are made of; and what such a machine shows. *)

From Coq Require Import ZArith List Bool.
From Rmaplab Require Import Definitions Statements System Interleaved Uniform Play.
Import ListNotations.
Open Scope Z_scope.

Definition of_page f m p (v : view) := on_page f p v && (owner_of v =? m) && negb (pinned v).
Definition shown (w : world) m p :=
  match filter (of_page 0 m p) (views w) with [] => [0; -1] | vs => [Z.of_nat (length vs); content w 0 p] end.
Definition look mms pages w := [mapcount w 0; refcount w 0;
  if forallb (fun v => content w (folio_of v) (page_of v) =? seen v) (views w) then 1 else 0]
  ++ flat_map (fun m => flat_map (fun p => shown w m p) pages) mms.
Definition ids (table : list Z) (m : Z) := nth (Z.to_nat m) table 1.

Definition is_mapped m p h := (mm_of h =? m) && (page_at h =? p) && match in_phase h with Mapped => true | _ => false end.
Definition is_pinned m p h := (mm_of h =? m) && (page_at h =? p) && match in_phase h with Pinned => true | _ => false end.
Definition pages_of p k := map (fun i => p + Z.of_nat i) (seq 0 k).
Definition section_end w := match section w with
  | Some d => State (holders w) (memory w) (other_refs w) (updates w) (count_word w + d) None (faults w) | None => w end.
Definition all_coming g hs := map (fun h => if coming h then g h else h) hs.
Definition come from m p k (first : option Z) w :=
  let w := with_holders (map (fun q => Holder m q Referenced from false 0) (pages_of p k) ++ holders w) w in
  let w := section_end (with_update (Ev m p (Z.of_nat k) false) (with_holders (all_coming (turn Counted) (holders w)) w)) in
  let w := with_holders (all_coming (turn Protected) (fold_left (fun hs q => map (shield q) hs) (pages_of p k) (holders w))) w in
  match first with
  | Some x => fold_left (fun w q => with_memory q x w) (pages_of p k)
      (with_holders (all_coming (fun h => Holder m (page_at h) Mapped from true x) (holders w)) w)
  | None => with_holders (all_coming (fun h => Holder m (page_at h) Mapped from false (memory w (page_at h))) (holders w)) w
  end.
Definition some_of m p k g hs := map (fun h => if existsb (fun q => is_mapped m q h) (pages_of p k) then g h else h) hs.
Definition uncount hs := map (fun h => match in_phase h with Cleared => turn Uncounted h | _ => h end) hs.
Definition leave m p k w :=
  let w := with_holders (some_of m p k (turn Cleared) (holders w)) w in
  let w := section_end (with_update (Ev m p (- Z.of_nat k) false) (with_holders (uncount (holders w)) w)) in
  with_holders (filter (fun h => match in_phase h with Uncounted => false | _ => true end) (holders w)) w.
Fixpoint without (s : holder -> bool) (hs : list holder) : list holder := match hs with [] => [] | h :: r => if s h then r else h :: without s r end.
Definition keep j m p w :=
  existsb (fun h => is_mapped m p h && can_write h) (holders w) ||
  match says j (after j (updates w)) m with EXCLUSIVE => count_word w =? held_refs w | _ => false end.
Definition act_out j w what := match what with
  | Touches m _ p k x => come m m p k (Some x) w
  | Forks from m _ p k => come from m p k None w
  | Unmaps m _ p k => leave m p k w
  | Pins m _ p => with_holders (Holder m p Pinned m false (memory w p) :: holders w) w
  | Unpins m _ p => with_holders (without (is_pinned m p) (holders w)) w
  | Holds _ k => State (holders w) (memory w) k (updates w) (count_word w) (section w) (faults w)
  | Writes m _ p x _ => if keep j m p w
      then with_memory p x (with_holders (map (wrote m p x)
        (some_of m p 1 (fun h => Holder m p Mapped (parent h) true (expects h)) (holders w))) w)
      else leave m p 1 w
  end.
Definition look_at (w : state) mms pages := [held_maps w; held_refs w;
  if forallb (fun h => coming h || (memory w (page_at h) =? expects h)) (holders w) && (count_word w =? held_maps w) then 1 else 0]
  ++ flat_map (fun m => flat_map (fun p => match filter (is_mapped m p) (holders w) with
       [] => [0; -1] | hs => [Z.of_nat (length hs); memory w p] end) pages) mms.
Definition step_by_step j table mms pages program := let j := bounded (2^23 - 2) (told (ids table) j) in
  map (fun k => look_at (fold_left (act_out j) (firstn k program) nothing_yet) mms pages) (seq 1 (length program)).
Definition move_by_move j table mms pages program :=
  map (fun k => match play (bounded (2^23 - 2) (told (ids table) j)) empty_world (firstn k program) with
    Some w => look mms pages w | None => [-1] end) (seq 1 (length program)).

(** A judge's answers after every event; and what Uniform.v says of how often pages are mapped. *)
Definition told_by j es asks :=
  map (fun k => map (fun x => match says j (after j (firstn k es)) x with UNKNOWN => 0 | EXCLUSIVE => 1 | SHARED => 2 end) asks)
      (seq 1 (length es)).
Definition weighed_up modulus weights counts :=
  [weighed modulus weights counts; total_of counts; if seems_uniform modulus weights counts then 1 else 0].
