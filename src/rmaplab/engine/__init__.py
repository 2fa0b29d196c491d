"""Replays a trace through schemes, vectorised; says what is true, and what the state would cost.

`replay(trace, scheme)` and `truth(trace)` answer a trace's questions in the order of its question table. Whoever asks
several schemes builds the `Plan` once and passes it instead of the trace.
"""

from rmaplab.engine.plan import Block, Plan
from rmaplab.engine.price import Price, price
from rmaplab.engine.replay import replay
from rmaplab.engine.sharers import Sharers, sharers, truth

__all__ = ["Block", "Plan", "Price", "Sharers", "price", "replay", "sharers", "truth"]
