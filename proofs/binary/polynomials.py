"""Formulas with multiplications, proved without multiplying.

For `python proofs/binary`. Solvers choke on 64-bit products. So first every sum of products in a formula gets a normal
form, a polynomial modulo 2^w over what it multiplies; equal ones then are the same term. Next each product becomes a
variable of its own: what holds whatever the products are, holds. Only if that fails is z3 asked with the products.
"""

import random
from itertools import product
from typing import Any

import z3

RESOURCES = 40_000_000
"""Of z3, for one question: the same everywhere, however busy the machine is. About half a minute."""
SEEDS = (0, 1, 2)
"""Of z3's choices, one after the other: what is not decided by some may be by others."""
WORD = 64
TRIES = 200
_ATTEMPTS = ((False, True, False), (False, True, True), (True, True, True), (True, True, False), (True, False, True))
"""With the premises?, products as variables?, equations as differences? What holds with less, holds."""
Polynomial = dict[tuple[int, ...], int]
"""Coefficients, by the atoms that are multiplied, each by its number: they count from 0 as they come, so that a formula's
normal form does not depend on what z3 was asked before."""
_SUMS = {z3.Z3_OP_BADD, z3.Z3_OP_BSUB, z3.Z3_OP_BNEG, z3.Z3_OP_BMUL, z3.Z3_OP_BSHL}


class Normal:
    """Normal forms. `abstract`: products are variables. `difference`: an equation is one sum that is 0.

    A narrow product is the low bits of one of `widest` bits, so that products of any width are of the same variables.
    """

    def __init__(self, abstract: bool, difference: bool, widest: int = WORD) -> None:
        self.abstract, self.difference = abstract, difference
        self.widest = widest if abstract else WORD
        self._seen: dict[int, tuple[z3.ExprRef, z3.ExprRef]] = {}
        self._atoms: list[z3.BitVecRef] = []
        self._numbers: dict[int, int] = {}

    def form(self, t: z3.ExprRef) -> z3.ExprRef:
        """`t` in normal form."""
        if t.get_id() not in self._seen:
            self._seen[t.get_id()] = (t, self._form(t))
        return self._seen[t.get_id()][1]

    def _form(self, t: z3.ExprRef) -> z3.ExprRef:
        kind, children = t.decl().kind(), t.children()
        if not children:
            return t
        if self.difference and kind == z3.Z3_OP_EQ and z3.is_bv(children[0]) and any(map(multiplies, children)):
            a, b = (self.polynomial(c, c.size()) for c in children)
            w = children[0].size()
            difference = plus(a, {k: -v for k, v in b.items()}, w)
            if difference and difference[min(difference)] >> (w - 1):
                difference = {k: -v % (1 << w) for k, v in difference.items()}
            return self.term(difference, w) == 0
        if kind in _SUMS and multiplies(t) and t.size() < WORD:
            # z3 narrows products where only low bits are asked for. As wide as the others they are the same products.
            return z3.Extract(t.size() - 1, 0, self.term(self.congruent(t), WORD))
        if kind in _SUMS and multiplies(t):
            return self.term(self.polynomial(t, t.size()), t.size())
        return t.decl()(*(self.form(c) for c in children))

    def polynomial(self, t: z3.BitVecRef, w: int) -> Polynomial:
        """`t`, unsigned, modulo 2^w. No narrower than w, or itself no sum: else a carry would be lost."""
        kind, parts = t.decl().kind(), t.children()
        if z3.is_bv_value(t):
            return {(): t.as_long() % (1 << w)} if t.as_long() % (1 << w) else {}
        if kind == z3.Z3_OP_CONCAT:
            low = t.size()
            out: Polynomial = {}
            for part in parts:
                low -= part.size()
                if low < w:
                    # The highest part may be modulo 2^(w - low): what is above is shifted out.
                    out = plus(out, {k: v << low for k, v in self.polynomial(part, w - low).items()}, w)
            return out
        if t.size() >= w:
            if kind == z3.Z3_OP_EXTRACT and t.params()[1] == 0:
                return self.polynomial(parts[0], w)
            if kind in (z3.Z3_OP_BADD, z3.Z3_OP_BNEG, z3.Z3_OP_BSUB):
                terms = [self.polynomial(p, w) for p in parts]
                signs = [1] * len(terms) if kind == z3.Z3_OP_BADD else [1, -1][-len(terms) :]
                out = {}
                for sign, term in zip(signs, terms, strict=True):
                    out = plus(out, {k: sign * v for k, v in term.items()}, w)
                return out
            if kind == z3.Z3_OP_BMUL:
                out = {(): 1}
                for p in parts:
                    out = times(out, self.polynomial(p, w), w)
                return out
            if kind == z3.Z3_OP_BSHL and z3.is_bv_value(parts[1]):
                return times(self.polynomial(parts[0], w), {(): 1 << parts[1].as_long()}, w)
        atom = self.form(t) if kind not in _SUMS or t.size() < w else t
        number = self._numbers.setdefault(atom.get_id(), len(self._atoms))
        if number == len(self._atoms):
            self._atoms.append(atom)
        return {(number,): 1}

    def congruent(self, t: z3.BitVecRef) -> Polynomial:
        """Some polynomial modulo 2^WORD that equals `t` modulo 2^(its width)."""
        kind, parts = t.decl().kind(), t.children()
        if kind in (z3.Z3_OP_BADD, z3.Z3_OP_BNEG):
            sign = 1 if kind == z3.Z3_OP_BADD else -1
            out: Polynomial = {}
            for p in parts:
                out = plus(out, {k: sign * v for k, v in self.congruent(p).items()}, WORD)
            return out
        if kind == z3.Z3_OP_BMUL:
            out = {(): 1}
            for p in parts:
                out = times(out, self.congruent(p), WORD)
            return out
        if kind == z3.Z3_OP_EXTRACT and t.params()[1] == 0:
            wide = parts[0]
            return self.polynomial(wide, WORD) if wide.size() >= WORD else self.congruent(wide)
        return self.polynomial(t, WORD)

    def term(self, p: Polynomial, w: int) -> z3.BitVecRef:
        """A polynomial as a term, always the same for the same one."""
        total = z3.BitVecVal(0, w)
        for monomial, coefficient in sorted(p.items()):
            total = total + z3.BitVecVal(coefficient, w) * self._product(monomial, w)
        return total

    def _product(self, monomial: tuple[int, ...], w: int) -> z3.BitVecRef:
        if w < self.widest and len(monomial) > 1:
            return z3.Extract(w - 1, 0, self._product(monomial, self.widest))
        if self.abstract and len(monomial) > 1:
            return z3.BitVec(f"product_{w}_{'_'.join(map(str, monomial))}", w)
        product = z3.BitVecVal(1, w)
        for number in monomial:
            atom = self._atoms[number]
            product = product * (z3.ZeroExt(w - atom.size(), atom) if atom.size() < w else z3.Extract(w - 1, 0, atom))
        return product


def multiplies(t: z3.ExprRef) -> bool:
    """Are there products of unknowns in `t`? Looks down to the first that is no sum."""
    todo, seen = [t], set()
    while todo:
        t = todo.pop()
        if t.get_id() in seen:
            continue
        seen.add(t.get_id())
        kind = t.decl().kind()
        if kind == z3.Z3_OP_BMUL:
            return True
        todo += t.children()
    return False


def widest_product(t: z3.ExprRef) -> int:
    """Bits of the widest product in `t`, WORD at least."""
    todo, seen, most = [t], set(), WORD
    while todo:
        t = todo.pop()
        if t.get_id() not in seen:
            seen.add(t.get_id())
            todo += t.children()
            if t.decl().kind() == z3.Z3_OP_BMUL:
                most = max(most, t.size())
    return most


def plus(a: Polynomial, b: Polynomial, w: int) -> Polynomial:
    out = dict(a)
    for monomial, coefficient in b.items():
        out[monomial] = (out.get(monomial, 0) + coefficient) % (1 << w)
    return {k: v for k, v in out.items() if v}


def times(a: Polynomial, b: Polynomial, w: int) -> Polynomial:
    out: Polynomial = {}
    for m, c in a.items():
        out = plus(out, {tuple(sorted(m + k)): c * v for k, v in b.items()}, w)
    return out


def unknowns(t: z3.ExprRef) -> list[z3.ExprRef]:
    todo, seen, out = [t], set(), []
    while todo:
        t = todo.pop()
        if t.get_id() not in seen:
            seen.add(t.get_id())
            todo += t.children()
            if z3.is_const(t) and t.decl().kind() == z3.Z3_OP_UNINTERPRETED:
                out.append(t)
    return out


def guess(formula: z3.BoolRef) -> dict[str, int] | None:
    """Values with which `formula` holds, by trying some: most faults show at once."""
    variables, rng = unknowns(formula), random.Random(1)
    for _ in range(TRIES):
        values = {}
        for v in variables:
            if z3.is_bool(v):
                values[v] = z3.BoolVal(rng.random() < 0.5)
                continue
            edges = [0, 1, 2, (1 << v.size()) - 1, 1 << (v.size() - 1), rng.getrandbits(v.size()), rng.getrandbits(5)]
            values[v] = z3.BitVecVal(rng.choice(edges), v.size())
        if z3.is_true(z3.simplify(z3.substitute(formula, *values.items()))):
            return {str(v): value.as_long() for v, value in values.items() if z3.is_bv_value(value)}
    return None


def counterexample(premises: list[Any], goal: Any) -> tuple[str, dict[str, int]]:
    """ "proved", "refuted" with values that refute, or "undecided"."""
    formula = z3.simplify(z3.And(*premises, z3.Not(goal)))
    if z3.is_false(formula):
        return "proved", {}
    if (found := guess(formula)) is not None:
        return "refuted", found
    for seed, (parts, abstract, difference) in product(SEEDS, _ATTEMPTS):
        tried = z3.simplify(z3.And(*(premises if parts else []), z3.Not(goal)))
        solver = z3.SolverFor("QF_BV")
        solver.set("rlimit", RESOURCES)
        solver.set("random_seed", seed)
        solver.add(z3.simplify(Normal(abstract, difference, widest_product(tried)).form(tried)))
        said = solver.check()
        if said == z3.unsat:
            return "proved", {}
        if said == z3.sat and parts and not abstract:
            model = solver.model()
            return "refuted", {str(d): model[d].as_long() for d in model.decls() if z3.is_bv_value(model[d])}
    return "undecided", {}
