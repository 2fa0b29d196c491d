(** * System.v's machine, as a program that runs

    What: operations of processes, a function that performs them, and the claim that it only makes moves.
    For: tests, which compare it with the Python machines, step by step; and a reviewer of that.
    Not: a second machine: what it does not perform (None) System.v may still allow. *)

From Coq Require Import ZArith List Bool.
From Rmaplab Require Import Definitions Statements System.
Import ListNotations.
Open Scope Z_scope.

(** [k] pages from [p] on, of folio [f]. A write keeps its page or, if it may not, copies it to [elsewhere], a folio nobody uses. *)
Inductive operation :=
  | Touches (m f p : Z) (k : nat) (x : Z)
  | Forks (parent child f p : Z) (k : nat)
  | Unmaps (m f p : Z) (k : nat)
  | Pins (m f p : Z)
  | Unpins (m f p : Z)
  | Holds (f k : Z)
  | Writes (m f p x elsewhere : Z).

(** Before the first that is selected, it, and after. *)
Fixpoint cut (select : view -> bool) (vs : list view) : option (list view * view * list view) :=
  match vs with
  | [] => None
  | v :: rest =>
      if select v then Some ([], v, rest)
      else match cut select rest with Some (before, u, after) => Some (v :: before, u, after) | None => None end
  end.

Definition held_by (m f p : Z) (pin : bool) (v : view) : bool := on_page f p v && (owner_of v =? m) && Bool.eqb (pinned v) pin.

Fixpoint touches (m f p x : Z) (k : nat) (vs : list view) (c : Z -> Z -> Z) : option (list view * (Z -> Z -> Z)) :=
  match k with
  | O => Some (vs, c)
  | S k => if existsb (on_page f p) vs then None else touches m f (p + 1) x k (View m f p false true x :: vs) (store f p x c)
  end.

Fixpoint copies (parent child f p : Z) (k : nat) (vs : list view) : option (list view) :=
  match k with
  | O => Some vs
  | S k => match cut (held_by parent f p false) vs with
           | Some (_, v, _) => copies parent child f (p + 1) k (View child f p false false (seen v) :: map (protect f p) vs)
           | None => None
           end
  end.

Fixpoint drops (m f p : Z) (k : nat) (vs : list view) : option (list view) :=
  match k with
  | O => Some vs
  | S k => match cut (held_by m f p false) vs with
           | Some (before, _, after) => drops m f (p + 1) k (before ++ after)
           | None => None
           end
  end.

Definition keeps (j : judge) (w : world) (v : view) : bool :=
  writable v ||
  match says j (fold_left (learn j) (history w (folio_of v)) (fresh j)) (owner_of v) with
  | EXCLUSIVE => refcount w (folio_of v) =? mapcount w (folio_of v)
  | _ => false
  end.

Definition mapped_in (m f p : Z) (k : nat) (x : Z) (w : world) : option world :=
  match touches m f p x k (views w) (content w) with
  | Some (vs, c) => Some (World vs c (extra w) (log f (Ev m p (Z.of_nat k) false) (history w)))
  | None => None
  end.

Definition unmapped (m f p : Z) (k : nat) (w : world) : option world :=
  match drops m f p k (views w) with
  | Some vs => Some (World vs (content w) (extra w) (log f (Ev m p (- Z.of_nat k) false) (history w)))
  | None => None
  end.

Definition perform (j : judge) (w : world) (what : operation) : option world :=
  match what with
  | Touches m f p k x => if (1 <=? m) && (1 <=? k)%nat then mapped_in m f p k x w else None
  | Forks parent child f p k =>
      if (1 <=? child) && (1 <=? k)%nat then
        match copies parent child f p k (views w) with
        | Some vs => Some (World vs (content w) (extra w) (log f (Ev child p (Z.of_nat k) false) (history w)))
        | None => None
        end
      else None
  | Unmaps m f p k => if (1 <=? k)%nat then unmapped m f p k w else None
  | Pins m f p =>
      match cut (held_by m f p false) (views w) with
      | Some (_, v, _) =>
          Some (World (View (owner_of v) (folio_of v) (page_of v) true false (seen v) :: views w) (content w) (extra w) (history w))
      | None => None
      end
  | Unpins m f p =>
      match cut (held_by m f p true) (views w) with
      | Some (before, _, after) => Some (World (before ++ after) (content w) (extra w) (history w))
      | None => None
      end
  | Holds f k => if 0 <=? k then Some (World (views w) (content w) (fun g => if g =? f then k else extra w g) (history w)) else None
  | Writes m f p x elsewhere =>
      match cut (held_by m f p false) (views w) with
      | Some (_, v, _) =>
          if keeps j w v then
            Some (World (map (written (owner_of v) (folio_of v) (page_of v) x) (views w))
                        (store (folio_of v) (page_of v) x (content w)) (extra w) (history w))
          else if (1 <=? m) then
            match unmapped m f p 1 w with Some w => mapped_in m elsewhere 0 1 x w | None => None end
          else None
      | None => None
      end
  end.

Fixpoint play (j : judge) (w : world) (program : list operation) : option world :=
  match program with
  | [] => Some w
  | what :: rest => match perform j w what with Some w => play j w rest | None => None end
  end.

(** ** The claim *)

Definition plays_are_runs : Prop := forall j program w, play j empty_world program = Some w -> reachable anything j w.
