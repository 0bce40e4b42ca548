"""Fuses calls: a chain of elementwise calls becomes one generated loop, in which numbers stay in registers.

Only what IEEE 754 rounds exactly is generated: sums, differences, products, quotients and roots, and what compares or
moves numbers. Nothing is contracted or put into another order, so the bits are NumPy's; exp, log and tanh stay NumPy's
own loops. Only of two NaN it may leave the other one, as another processor may. What is written into memory of a tape
and read by nobody after the chain is not written.

A generated loop visits what the rows visited that it stands for; that it leaves no array is checked again.
"""

import platform
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from nnexp.training.compiled.loops import Bits, Loop, Scratch
from nnexp.training.compiled.player import BYTES, CASTS, INTRINSICS, KINDS, Player
from nnexp.training.compiled.program import Axis, Key, Row, View, axes_of

ARITHMETIC = {"add": "fadd", "subtract": "fsub", "multiply": "fmul", "divide": "fdiv"}
ORDERS = {
    "equal": "oeq",
    "not_equal": "une",
    "greater": "ogt",
    "less": "olt",
    "greater_equal": "oge",
    "less_equal": "ole",
}
FLOATS = {"negative", "square", "reciprocal", "sign", "outer"}
MOVES = {"positive", "cast", "select", "copy"}
LARGER = {"maximum": "ogt", "minimum": "olt"} if platform.machine() in ("x86_64", "AMD64") else {}
"""Of two zeros, processors of other kinds may choose another one."""
FUSED = {*ARITHMETIC, *ORDERS, *INTRINSICS, *FLOATS, *MOVES, *LARGER}


class Operation:
    """A row as fusion sees it."""

    def __init__(self, row: Row) -> None:
        self.row, self.name = row, row.loop.name
        *inputs, out = row.views
        if self.name == "matmul" and row.arrays[0].shape[-1] == 1 and not row.turns:
            self.name = "outer"  # a sum of one product has its bits
            inputs = [View(np.broadcast_to(view.array, out.array.shape)) for view in inputs]
        self.inputs, self.out = [*inputs, out] if self.name == "select" else inputs, out
        known: Collection[str] = () if row.turns else KINDS if self.name in MOVES else {"f", "d"}
        letters = [view.key[2] for view in (inputs if self.name in ORDERS else (*inputs, out))]
        single = 0 not in out.strides  # else it is a sum
        self.fusible = self.name in FUSED and single and all(letter in known for letter in letters)


class Group:
    """Operations that one loop makes, or one that stays as it is."""

    def __init__(self, first: Operation) -> None:
        self.operations: list[Operation] = []
        self.reads: dict[Key, View] = {}
        self.writes: dict[Key, View] = {}
        self.owners = set[int]()
        self.add(first)

    def add(self, operation: Operation) -> None:
        """Add an operation to the end."""
        self.operations.append(operation)
        for view in operation.inputs:
            if view.key not in self.writes or not operation.fusible:
                self.reads.setdefault(view.key, view)
        self.writes[operation.out.key] = operation.out
        self.owners |= {id(view.owner) for view in (*operation.inputs, operation.out)}

    def fits(self, operation: Operation) -> bool:
        """Tell whether one loop can make an operation, too: all arrays that it shares are shared number by number."""
        first = self.operations[0]
        if not (first.fusible and operation.fusible and first.out.shape == operation.out.shape):
            return False
        views, out = [*operation.inputs, operation.out], operation.out
        return not any(
            view.key != other.key and view.overlaps(other) for view in views for other in self.writes.values()
        ) and not any(out.key != other.key and out.overlaps(other) for other in self.reads.values())

    def conflicts(self, operation: Operation) -> bool:
        """Tell whether an operation must not be made before this group."""
        views = [*operation.inputs, operation.out]
        return any(view.overlaps(other) for view in views for other in self.writes.values()) or any(
            operation.out.overlaps(other) for other in self.reads.values()
        )


def fused(rows: Sequence[Row], results: Iterable[Bits], player: Player, *, anew: bool = True) -> Sequence[Row]:
    """Return rows that do the same, with generated loops.

    Args:
        rows: The rows of a tape.
        results: What is read after it.
        player: Compiles the loops.
        anew: Whether to do so if they are in no file; the rows stay as they are otherwise.
    """
    groups = list[Group]()
    for operation in map(Operation, rows):
        _place(operation, groups)
    wanted = [View(array) for array in results]
    plan: list[tuple[str, list[Bits]] | Row] = []
    for number, group in enumerate(groups):
        first = group.operations[0]
        if not first.fusible or (len(group.operations) == 1 and first.name != "outer" and not first.row.depth):
            plan.append(first.row)
        else:
            stores = [view for view in group.writes.values() if _is_read(view, groups[number + 1 :], wanted)]
            plan.append(_chain(group, stores))
    texts = [what[0] for what in plan if not isinstance(what, Row)]
    kernels = player.kernels(texts, anew=anew)
    if not kernels.keys() >= {*texts}:
        return rows
    return [what if isinstance(what, Row) else Generated(kernels[what[0]], what[1]) for what in plan]


class Generated(Row):
    """A generated loop and the arrays whose places it is given."""

    def __init__(self, function: int, arrays: Sequence[Bits]) -> None:
        self.loop, self.arrays = Loop(function, None, (), ()), tuple(arrays)
        self.pointers = [array.ctypes.data for array in arrays]
        self.lengths, self.strides, self.depth, self.turns, self.moves = [], [], 0, (), []


def _place(operation: Operation, groups: list[Group]) -> None:
    """Add an operation to the last group that it fits into, or make one of it, without passing what it depends on."""
    place = len(groups)
    for number in reversed(range(len(groups))):
        if groups[number].fits(operation):
            groups[number].add(operation)
            return
        if groups[number].conflicts(operation):
            break
        place = number
    groups.insert(place if not operation.out.shape else len(groups), Group(operation))  # numbers part no chains


def _is_read(view: View, later: Sequence[Group], results: Sequence[View]) -> bool:
    """Tell whether what a group has written is read later; who else works on its arrays may read all of them."""
    if not isinstance(view.owner, Scratch):
        return True
    for group in later:
        if id(view.owner) not in group.owners:
            continue
        if any(view.overlaps(other) for other in group.reads.values()):
            return True
        if any(
            other.low <= view.low and view.high <= other.high and other.array.flags.c_contiguous
            for other in group.writes.values()
        ):
            return False
    return any(view.overlaps(other) for other in results)


def _chain(group: Group, stores: Sequence[View]) -> tuple[str, list[Bits]]:
    """Return the text of the loop of a group, named by `@name`, and the arrays it works on."""
    views = {**group.reads, **{view.key: view for view in stores}}
    places = {key: place for place, key in enumerate(views)}
    axes = axes_of(group.operations[0].out.shape, [view.strides for view in views.values()])
    for place, view in enumerate(views.values()):
        view.check([(axis.length, axis.strides[place]) for axis in axes])
    lines = _Lines()
    bases = [lines.new(f"ptr of %data from {place}") for place in places.values()]
    still = [key for key in group.reads if key not in group.writes and not any(views[key].strides)]
    known = {key: _load(lines, key, bases[places[key]]) for key in still}

    def body(indices: Sequence[str]) -> None:
        numbers = dict(known)

        def at(key: Key) -> str:
            terms = [(i, axis.strides[places[key]]) for i, axis in zip(indices, axes, strict=True)]
            return lines.address(bases[places[key]], terms)

        for operation in group.operations:
            for view in operation.inputs:
                if view.key not in numbers:
                    numbers[view.key] = _load(lines, view.key, at(view.key))
            operands = [(numbers[view.key], view.key[2]) for view in operation.inputs]
            numbers[operation.out.key] = _formula(lines, operation.name, operands, operation.out.key[2])
        for view in stores:
            _store(lines, view.key, numbers[view.key], at(view.key))

    lines.nest(axes, body)
    text = "\n".join(lines.lines)
    head = "define void @name(ptr %pointers, ptr %lengths, ptr %strides, ptr %data) {\nentry:\n"
    return f"{head}{text}\n  ret void\n}}\n", [view.array for view in views.values()]


class _Lines:
    """The lines of a function, with names for its values."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count, self._block = 0, "entry"

    def new(self, instruction: str) -> str:
        """Add an instruction, and return the name of its value."""
        self._count += 1
        self.lines.append(f"  %v{self._count} = {instruction}")
        return f"%v{self._count}"

    def address(self, base: str, terms: Iterable[tuple[str, int]]) -> str:
        """Return the address that is some indices times their bytes behind another one."""
        for index, step in terms:
            if step:
                base = self.new(f"getelementptr i8, ptr {base}, i64 {self.new(f'mul nsw i64 {index}, {step}')}")
        return base

    def nest(self, axes: Sequence[Axis], body: Callable[[Sequence[str]], None], indices: Sequence[str] = ()) -> None:
        """Add a loop along each axis, the innermost of which may take several numbers at a time."""
        if len(indices) == len(axes):
            body(indices)
            return
        length = axes[len(indices)].length
        if length == 1:
            self.nest(axes, body, [*indices, "0"])
            return
        self._count += 1
        n, before = self._count, self._block
        self.lines += [f"  br label %loop{n}", f"loop{n}:", f"  %i{n} = phi i64 [0, %{before}], [%n{n}, %latch{n}]"]
        self._block = f"loop{n}"
        self.nest(axes, body, [*indices, f"%i{n}"])
        hint = ", !llvm.loop !LOOP" if len(indices) + 1 == len(axes) else ""
        self.lines += [
            f"  br label %latch{n}",
            f"latch{n}:",
            f"  %n{n} = add nuw nsw i64 %i{n}, 1",
            f"  %c{n} = icmp slt i64 %n{n}, {length}",
            f"  br i1 %c{n}, label %loop{n}, label %end{n}{hint}",
            f"end{n}:",
        ]
        self._block = f"end{n}"


def _load(lines: _Lines, key: Key, address: str) -> str:
    number = lines.new(f"load {KINDS[key[2]]}, ptr {address}, !llvm.access.group !GROUP")
    return lines.new(f"icmp ne i8 {number}, 0") if key[2] == "?" else number


def _store(lines: _Lines, key: Key, number: str, address: str) -> None:
    if key[2] == "?":
        number = lines.new(f"zext i1 {number} to i8")
    lines.lines.append(f"  store {KINDS[key[2]]} {number}, ptr {address}, !llvm.access.group !GROUP")


def _formula(lines: _Lines, name: str, operands: Sequence[tuple[str, str]], letter: str) -> str:
    """Return the value of an operation on values, each with the letter of its type."""
    kind, (a, first), *others = "i1" if letter == "?" else KINDS[letter], *operands
    b = others[0][0] if others else ""
    if name in ORDERS:
        return lines.new(f"fcmp {ORDERS[name]} {KINDS[first]} {a}, {b}")
    if name == "outer":
        return lines.new(f"fadd {kind} 0.0, {lines.new(f'fmul {kind} {a}, {b}')}")
    if name == "cast":
        return lines.new(f"{CASTS[first + letter]} {'i1' if first == '?' else KINDS[first]} {a} to {kind}")
    if name == "select":
        return lines.new(f"select i1 {a}, {kind} {b}, {kind} {others[1][0]}")
    if name in LARGER:
        better, unknown = lines.new(f"fcmp {LARGER[name]} {kind} {a}, {b}"), lines.new(f"fcmp uno {kind} {a}, {a}")
        return lines.new(f"select i1 {lines.new(f'or i1 {better}, {unknown}')}, {kind} {a}, {kind} {b}")
    if name == "sign":
        for order, number in (("oeq", "0.0"), ("ogt", "1.0"), ("olt", "-1.0")):
            there = lines.new(f"fcmp {order} {kind} {operands[0][0]}, 0.0")
            a = lines.new(f"select i1 {there}, {kind} {number}, {kind} {a}")
        return a
    simple = {
        **{name: f"{instruction} {kind} {a}, {b}" for name, instruction in ARITHMETIC.items()},
        **{
            name: f"call {kind} @llvm.{called}.f{8 * BYTES.get(kind, 0)}({kind} {a})"
            for name, called in INTRINSICS.items()
        },
        "negative": f"fneg {kind} {a}",
        "square": f"fmul {kind} {a}, {a}",
        "reciprocal": f"fdiv {kind} 1.0, {a}",
    }
    return lines.new(simple[name]) if name in simple else a  # else it is moved
