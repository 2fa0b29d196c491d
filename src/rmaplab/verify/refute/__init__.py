"""The refuter: decides whether a configuration of a linear scheme can ever take "shared" for "exclusive".

For whoever chooses a table (order, values, ID bits, word bits) and wants a proof by theorem, by exhaustive
enumeration, or the smallest case in which it fails. It does not read the Rocq proofs: the two are independent, and
tests compare them. What is decided, and how: docs/refuter.md.
"""
