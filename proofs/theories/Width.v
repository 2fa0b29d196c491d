(** * How many writers, and how long until the sequence comes round?

    What: the word of core/atomic_seqcount.h as arithmetic: registrations and sections added modulo its width; what its fields are,
    what too many writers look like, and when a reader takes a word that came round for one that stood still.
    For: a reviewer; docs/proofs.md, "Width". tests/proofs holds [word_after] and [layouts] against the header.
    Not: orders of memory accesses (docs/races.md). The changes are those of the word itself, in the order in which it takes them. *)

From Coq Require Import ZArith List Bool.
From Rmaplab Require Import Definitions.
Import ListNotations.
Open Scope Z_scope.

(** Bits, from the lowest: shared writers, exclusive writers, sequence. *)
Record layout := Layout { shared_bits : Z; exclusive_bits : Z; sequence_bits : Z }.

Definition sensible (l : layout) : Prop := 0 < shared_bits l /\ 0 <= exclusive_bits l /\ 0 < sequence_bits l.
Definition width (l : layout) : Z := shared_bits l + exclusive_bits l + sequence_bits l.
Definition one_exclusive (l : layout) : Z := 2 ^ shared_bits l.
Definition section_step (l : layout) : Z := 2 ^ (shared_bits l + exclusive_bits l).

(** What happens to the word. [TurnBack]: a claim that was lost becomes a shared writer, in one step. *)
Inductive change := EnterShared | EnterExclusive | TurnBack | EndShared | EndExclusive.

Definition shared_by (m : change) : Z :=
  match m with EnterShared | TurnBack => 1 | EndShared => -1 | EnterExclusive | EndExclusive => 0 end.
Definition exclusive_by (m : change) : Z :=
  match m with EnterExclusive => 1 | TurnBack | EndExclusive => -1 | EnterShared | EndShared => 0 end.
Definition sections_by (m : change) : Z := match m with EndShared | EndExclusive => 1 | _ => 0 end.

Definition total_by (by_change : change -> Z) (ms : list change) : Z := fold_right (fun m rest => by_change m + rest) 0 ms.
Definition shared_inside := total_by shared_by.
Definition exclusive_inside := total_by exclusive_by.
Definition sections := total_by sections_by.

Definition added (l : layout) (m : change) : Z :=
  shared_by m + exclusive_by m * one_exclusive l + sections_by m * section_step l.

Definition word_after (l : layout) (start : Z) (ms : list change) : Z :=
  fold_left (fun word m => (word + added l m) mod 2 ^ width l) ms start.

Definition shared_field (l : layout) (word : Z) : Z := word mod 2 ^ shared_bits l.
Definition exclusive_field (l : layout) (word : Z) : Z := word / one_exclusive l mod 2 ^ exclusive_bits l.
Definition sequence_field (l : layout) (word : Z) : Z := word / section_step l.
Definition writers_field (l : layout) (word : Z) : Z := word mod section_step l.

(** Fewer than the fields can count, neither less than none. *)
Definition fit (l : layout) (ms : list change) : Prop :=
  0 <= shared_inside ms < 2 ^ shared_bits l /\ 0 <= exclusive_inside ms < 2 ^ exclusive_bits l.

(** The fields are the numbers of writers inside, and the sections closed, whatever was before: a field that ran over is right
    again when it fits again. *)
Definition fields_exact : Prop := forall l ms, sensible l -> fit l ms ->
  let word := word_after l 0 ms in
  shared_field l word = shared_inside ms /\ exclusive_field l word = exclusive_inside ms /\
  sequence_field l word = sections ms mod 2 ^ sequence_bits l.

(** Whoever is registered has a CPU of its own. So it fits as long as the CPUs do. *)
Definition cpus_fit : Prop := forall l cpus ms, sensible l -> cpus < 2 ^ shared_bits l ->
  (cpus < 2 ^ exclusive_bits l \/ exclusive_inside ms < 2 ^ exclusive_bits l) ->
  0 <= shared_inside ms -> 0 <= exclusive_inside ms -> shared_inside ms + exclusive_inside ms <= cpus -> fit l ms.

(** One writer more than the field counts, and it says nobody: with no exclusive field the word is that of a closed section, and a
    reader goes in among 2^s writers; with one, it is a word that the exclusive writer holds, and everybody waits. *)
Definition one_too_many : Prop := forall l, sensible l ->
  let word := word_after l 0 (repeat EnterShared (Z.to_nat (2 ^ shared_bits l))) in
  shared_field l word = 0 /\
  (exclusive_bits l = 0 -> writers_field l word = 0 /\ sequence_field l word = 1 mod 2 ^ sequence_bits l) /\
  (0 < exclusive_bits l -> exclusive_field l word = 1).

(** A reader that starts on a quiet word and finds it again: nobody is inside, and the sections closed meanwhile are a multiple of
    2^sequence_bits. Any such multiple is missed, and nothing else is. *)
Definition reader_misses_exactly_wraps : Prop := forall l before during, sensible l ->
  shared_inside before = 0 -> exclusive_inside before = 0 -> fit l (before ++ during) ->
  (word_after l 0 (before ++ during) = word_after l 0 before <->
   shared_inside during = 0 /\ exclusive_inside during = 0 /\ (2 ^ sequence_bits l | sections during)).

(** So a section or more, and fewer than 2^sequence_bits, is noticed. *)
Definition short_reader_misses_nothing : Prop := forall l before during, sensible l ->
  shared_inside before = 0 -> exclusive_inside before = 0 -> fit l (before ++ during) ->
  0 < sections during < 2 ^ sequence_bits l -> word_after l 0 (before ++ during) <> word_after l 0 before.

(** How long that takes: each CPU's sections come one after another within [time], and none takes less than [least]. *)
Definition sum_of (durations : list Z) : Z := fold_right Z.add 0 durations.
Definition wrap_takes : Prop := forall l cpus least time, sensible l -> 0 <= least ->
  Forall (fun durations => Forall (fun d => least <= d) durations /\ sum_of durations <= time) cpus ->
  2 ^ sequence_bits l <= sum_of (map (fun durations => Z.of_nat (length durations)) cpus) ->
  2 ^ sequence_bits l * least <= time * Z.of_nat (length cpus).

(** The header's: shared, cmpxchg and add-return of 64 bits; shared and cmpxchg of 32, where add-return is cmpxchg. *)
Definition layouts : list layout :=
  [Layout 16 0 48; Layout 16 1 47; Layout 16 16 32; Layout 7 0 25; Layout 7 1 24].

(** CPUs, and sections until the sequence comes round. *)
Definition numbers (l : layout) : Z * Z * Z := (width l, 2 ^ shared_bits l - 1, 2 ^ sequence_bits l).

Definition layouts_sensible : Prop := Forall sensible layouts /\ map numbers layouts =
  [(64, 65535, 281474976710656); (64, 65535, 140737488355328); (64, 65535, 4294967296); (32, 127, 33554432); (32, 127, 16777216)].
