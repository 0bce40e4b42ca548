"""A function of a stack, played for one run after another, and several steps of each run in one call.

A tape of one run works on arrays of its own. Those of every run are moved in, the tape is played, and what it has
changed is moved out: what a run works on stays in the cache. Where it is a step, the next ones follow at once, their
examples gathered before each and its logits kept after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from nnexp.core.component import Array
from nnexp.training.compiled.loops import Bits, UnknownError
from nnexp.training.compiled.player import Player
from nnexp.training.compiled.program import Program, Row, Times
from nnexp.training.compiled.translate import Translator

Pair = tuple[Bits, Bits]
"""An array of all runs, shape (runs, ...), and that of one; or of all examples, and of those in a batch."""

MOST_KEPT = 2**20
"""Bytes of logits that are kept until a call ends."""


@dataclass(frozen=True, kw_only=True)
class Belongings:
    """What belongs to a run; nothing where one tape works on all runs together.

    Attributes:
        runs: How many runs follow each other.
        examples, settings, state: The examples of a batch, what else is only read, and what is changed.
    """

    runs: int = 1
    examples: Sequence[Pair] = ()
    settings: Sequence[Pair] = ()
    state: Sequence[Pair] = ()


class Playable:
    """A tape that can be played for one run after another, and for several steps.

    Args:
        rows: The rows of the tape.
        results: Its results.
        belongings: What belongs to a run.
        player: Plays it.
    """

    def __init__(
        self, rows: Sequence[Row | Times], results: Mapping[str, Array], belongings: Belongings, player: Player
    ) -> None:
        self.rows, self.results, self.belongings = rows, results, belongings
        self._player, self._translator = player, Translator(player)

    def for_all_runs(self) -> tuple[Program, dict[str, Array]]:
        """Return a program that plays the tape of one run for all of them, and their results.

        Raises UnknownError if a result does not belong to a run.
        """
        if any(not array.ndim or len(array) != 1 for array in self.results.values()):
            raise UnknownError("a result that does not belong to a run")
        runs = self.belongings.runs
        of_all = {name: np.empty((runs, *one.shape[1:]), one.dtype) for name, one in self.results.items()}
        into = [self.into(many, one, turns=1) for many, one in self.belongings.examples]
        out = [self.out_of(self.results[name], many, turns=1) for name, many in of_all.items()]
        return self.program([*into, *self.rows, *out]), of_all

    def program(self, rows: Sequence[Row | Times]) -> Program:
        """Return a program of rows for every run, with what moves its belongings in and out."""
        own = self.belongings
        into = [self.into(many, one, turns=1) for many, one in (*own.settings, *own.state)]
        out = [self.out_of(one, many, turns=1) for many, one in own.state]
        return Program([Times(own.runs, [*into, *rows, *out])], self._player)

    def into(self, many: Bits, one: Bits, turns: int) -> Row:
        """Return the row that moves a part of an array, whose first axes are those of turns, into another."""
        parts = many.reshape(*many.shape[:turns], *one.shape)
        return self._translator.copied(parts, np.broadcast_to(one, parts.shape), repeated=turns)

    def out_of(self, one: Bits, many: Bits, turns: int) -> Row:
        """Return the row that moves an array into a part of another one."""
        parts = many.reshape(*many.shape[:turns], *one.shape)
        return self._translator.copied(np.broadcast_to(one, parts.shape), parts, repeated=turns)

    def gathered(self, numbers: Bits, source: Bits, out: Bits) -> Row:
        """Return the row that takes rows of an array by their numbers, of shape (runs, steps, ..., rows)."""
        if not (source.flags.c_contiguous and out.flags.c_contiguous and source.size and out.size):
            raise UnknownError("examples with gaps")
        rows = source.reshape(len(source), -1).view(np.uint8)
        taken = out.reshape(*numbers.shape[2:], -1).view(np.uint8)
        arrays = (
            numbers,
            np.broadcast_to(rows, (*numbers.shape, *rows.shape)),
            np.broadcast_to(taken, (*numbers.shape, taken.shape[-1])),
        )
        return Row(self._player.loop("take rows"), *arrays, repeated=2)


class Steps:
    """Makes several steps in one call.

    Raises UnknownError if that is not possible.

    Args:
        step: The tape of one step, whose results are logits.
        batch: The arrays of the training examples, each with that of a batch; none where all steps have the same batch.
        rows: The shape of the numbers of the rows of a batch, (examples,) or (runs, examples).
        number, learning_rate: Those of a step; None for learning rates that stay the same.
        most: The most steps of a call, fewer where their logits would take much memory.

    Attributes:
        most: The most steps of a call.
        rows: Which examples make each batch, shape (steps, ...).
        numbers, rates: The number of each step, and the learning rates of all runs, shape (steps, runs, 1).
        logits: Those from before each step, shape (runs, steps, ...).
    """

    def __init__(
        self,
        step: Playable,
        batch: Sequence[Pair],
        rows: tuple[int, ...],
        *,
        number: Bits,
        learning_rate: Bits | None,
        most: int,
    ) -> None:
        own, z = step.belongings, step.results["logits"]
        self.most = most = max(1, min(most, MOST_KEPT // (own.runs * z.nbytes)))
        ones = {id(many): one for many, one in (*own.examples, *own.settings)}

        def array(one: Bits) -> Pair:
            """Return an array with a part for each run and step, and a view of it with the steps in front."""
            parts = np.zeros((own.runs, most, *one.shape), one.dtype)
            return parts, np.moveaxis(parts, 1, 0).reshape(most, -1, *one.shape[1:])

        self.numbers = np.zeros(most, number.dtype)
        before = [step.into(np.broadcast_to(self.numbers, (own.runs, most)), number, turns=2)]
        self.rates: Bits | None = None
        if learning_rate is not None:
            one = ones.get(id(learning_rate), learning_rate)
            parts, self.rates = array(one)
            before.append(step.into(parts, one, turns=2))
        taken = np.zeros((own.runs, most, rows[-1]) if own.runs > 1 < len(rows) else (1, most, *rows), np.intp)
        self.rows = np.moveaxis(taken, 1, 0).reshape(most, *rows)
        taken = np.broadcast_to(taken, (own.runs, *taken.shape[1:]))
        before += [step.gathered(taken, source, ones.get(id(out), out)) for source, out in batch]
        parts, logits = array(z)
        self.logits = cast("Array", logits.swapaxes(0, 1))
        gathered = {id(out) for _, out in batch}
        same = [step.into(many, one, turns=1) for many, one in own.examples if id(many) not in gathered]
        each = Times(most, [*before, *step.rows, step.out_of(z, parts, turns=2)])
        self._program = step.program([*same, each])

    def __call__(self, count: int) -> None:
        """Make so many steps."""
        self._program.play_part(count)
