"""The player: a function of a few instructions that calls the loops of a program, one after another, and our own loops.

They are written in LLVM's language and compiled by llvmlite once in a process. Our own loops only move numbers, compare
them or change their type, so that their bits are NumPy's by definition; they have the signature of NumPy's loops, see
`loops`. A loop may advance the pointers that it is given, as that of matrix products does, so it gets copies.
"""

import ctypes
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from nnexp.training.compiled.compiler import Compiler, cache_folder
from nnexp.training.compiled.loops import Loop, UnknownError

WORTH_A_PLAYER = 30_000
"""Calls whose way through Python takes as long as to import llvmlite and to load what was compiled, some 40 ms."""
WORTH_KERNELS = 250_000
"""Calls that take longer than generated loops by half of what these take to compile, which later processes save."""
MOST_OPERANDS = 4
"""The most arrays that a loop works on."""
PLAY = """
define void @play(ptr %facts) {
  call void @repeat(ptr null, ptr null, ptr null, ptr %facts)
  ret void
}

; Plays the rows of a table several times; a loop as all others. Data: the table and the number of its rows, how often,
; and what is added to which pointers each time, and taken back at the end. Rows: loop, data, lengths, strides, and
; pointers.
define void @repeat(ptr %pointers, ptr %lengths, ptr %strides, ptr %data) {
entry:
  %copies = alloca [4 x ptr]
  %table = ptr of %data from 0
  %count, %times = i64 of %data from 1
  %moves = ptr of %data from 3
  %moving = i64 of %data from 4
  %back.less = sub i64 1, %times
  %none = icmp eq i64 %moving, 0
  br label %turn
turn:
  %t = phi i64 [0, %entry], [%t.following, %move.end]
  br label %next
next:
  %i = phi i64 [0, %turn], [%following, %next]
  %row = getelementptr [5 x ptr], ptr %table, i64 %i
  %loop, %loop.data, %loop.lengths, %loop.strides, %loop.pointers = ptr of %row from 0
  %four = load <4 x i64>, ptr %loop.pointers, align 8
  store <4 x i64> %four, ptr %copies, align 8
  call void %loop(ptr %copies, ptr %loop.lengths, ptr %loop.strides, ptr %loop.data)
  %following = add nuw nsw i64 %i, 1
  %more = icmp slt i64 %following, %count
  br i1 %more, label %next, label %played
played:
  %t.following = add nuw nsw i64 %t, 1
  %t.more = icmp slt i64 %t.following, %times
  %factor = select i1 %t.more, i64 1, i64 %back.less
  br i1 %none, label %move.end, label %move
move:
  %m = phi i64 [0, %played], [%m.following, %move]
  %pair = getelementptr [2 x i64], ptr %moves, i64 %m
  %cell = ptr of %pair from 0
  %by = i64 of %pair from 1
  %step = mul i64 %by, %factor
  %old = load i64, ptr %cell
  %new = add i64 %old, %step
  store i64 %new, ptr %cell
  %m.following = add nuw nsw i64 %m, 1
  %m.more = icmp slt i64 %m.following, %moving
  br i1 %m.more, label %move, label %move.end
move.end:
  br i1 %t.more, label %turn, label %end
end:
  ret void
}

; Calls another loop for every step along an axis: the first length is the axis', the first four strides are its, and
; what follows is the other's. Data: the other loop and its data. It may be this one again, for one more axis.
define void @each(ptr %pointers, ptr %lengths, ptr %strides, ptr %data) {
entry:
  %copies = alloca [4 x ptr]
  %count = i64 of %lengths from 0
  %loop, %loop.data = ptr of %data from 0
  %steps = load <4 x i64>, ptr %strides, align 8
  %first = load <4 x i64>, ptr %pointers, align 8
  %loop.lengths = getelementptr i64, ptr %lengths, i64 1
  %loop.strides = getelementptr i64, ptr %strides, i64 4
  br label %next
next:
  %i = phi i64 [0, %entry], [%following, %next]
  %now = phi <4 x i64> [%first, %entry], [%then, %next]
  store <4 x i64> %now, ptr %copies, align 8
  call void %loop(ptr %copies, ptr %loop.lengths, ptr %loop.strides, ptr %loop.data)
  %then = add <4 x i64> %now, %steps
  %following = add nuw nsw i64 %i, 1
  %more = icmp slt i64 %following, %count
  br i1 %more, label %next, label %end
end:
  ret void
}
"""
ELEMENTWISE = """
; Makes a new number of those of its operands, and writes it into the last of them.
define void @"{name}"(ptr %pointers, ptr %lengths, ptr %strides, ptr %data) {{
entry:
  %count = i64 of %lengths from 0
  {addresses} = ptr of %pointers from 0
  {steps} = i64 of %strides from 0
  br label %next
next:
  %i = phi i64 [0, %entry], [%following, %next]
{loads}
  {body}
  store {kind} %new, ptr %p{last}
  %following = add nuw nsw i64 %i, 1
  %more = icmp slt i64 %following, %count
  br i1 %more, label %next, label %end
end:
  ret void
}}
"""
LOAD = """
  %o{n} = mul nsw i64 %i, %s{n}
  %p{n} = getelementptr i8, ptr %a{n}, i64 %o{n}
  %v{n} = load {kind}, ptr %p{n}"""
ARGMAX = """
; The place of the first largest number of every row; a first NaN is larger than all.
define void @"{name}"(ptr %pointers, ptr %lengths, ptr %strides, ptr %data) {{
entry:
  %from.first, %to.first = ptr of %pointers from 0
  %rows, %count = i64 of %lengths from 0
  %from.step, %to.step, %step = i64 of %strides from 0
  br label %row
row:
  %r = phi i64 [0, %entry], [%r.following, %write]
  %from = phi ptr [%from.first, %entry], [%from.following, %write]
  %to = phi ptr [%to.first, %entry], [%to.following, %write]
  %start = load {kind}, ptr %from
  br label %next
next:
  %i = phi i64 [0, %row], [%following, %next]
  %best = phi {kind} [%start, %row], [%best.new, %next]
  %place = phi i64 [0, %row], [%place.new, %next]
  %offset = mul i64 %i, %step
  %at = getelementptr i8, ptr %from, i64 %offset
  %number = load {kind}, ptr %at
  %above = fcmp ugt {kind} %number, %best
  %known = fcmp ord {kind} %best, %best
  %better = and i1 %above, %known
  %best.new = select i1 %better, {kind} %number, {kind} %best
  %place.new = select i1 %better, i64 %i, i64 %place
  %following = add nuw nsw i64 %i, 1
  %more = icmp slt i64 %following, %count
  br i1 %more, label %next, label %write
write:
  store i64 %place.new, ptr %to
  %from.following = getelementptr i8, ptr %from, i64 %from.step
  %to.following = getelementptr i8, ptr %to, i64 %to.step
  %r.following = add nuw nsw i64 %r, 1
  %r.more = icmp slt i64 %r.following, %rows
  br i1 %r.more, label %row, label %end
end:
  ret void
}}
"""
TAKE = """
; Copies rows by their numbers; one that there is not is the first or the last, as with NumPy's mode "clip".
define void @"take rows"(ptr %pointers, ptr %lengths, ptr %strides, ptr %data) {
entry:
  %numbers, %from, %to = ptr of %pointers from 0
  %count, %rows, %size = i64 of %lengths from 0
  %numbers.step, %same, %to.step, %from.step = i64 of %strides from 0
  %last = sub i64 %rows, 1
  br label %next
next:
  %i = phi i64 [0, %entry], [%following, %next]
  %number.at = phi ptr [%numbers, %entry], [%number.following, %next]
  %target = phi ptr [%to, %entry], [%target.following, %next]
  %number = load i64, ptr %number.at
  %below = call i64 @llvm.smin.i64(i64 %number, i64 %last)
  %known = call i64 @llvm.smax.i64(i64 %below, i64 0)
  %offset = mul i64 %known, %from.step
  %source = getelementptr i8, ptr %from, i64 %offset
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %size, i1 false)
  %number.following = getelementptr i8, ptr %number.at, i64 %numbers.step
  %target.following = getelementptr i8, ptr %target, i64 %to.step
  %following = add nuw nsw i64 %i, 1
  %more = icmp slt i64 %following, %count
  br i1 %more, label %next, label %end
end:
  ret void
}
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""
INTRINSICS = {"sqrt": "sqrt", "absolute": "fabs"}
"""What processors have an instruction for, as LLVM calls it."""
DECLARED = "".join(
    f"declare {kind} @llvm.{name}.{bits}({kind})\n"
    for name in INTRINSICS.values()
    for kind, bits in (("double", "f64"), ("float", "f32"))
)
PARALLEL = """
!{0} = distinct !{{}}
!{1} = distinct !{{!{1}, !{2}}}
!{2} = !{{!"llvm.loop.parallel_accesses", !{0}}}
"""
"""Says of a loop that its steps do not depend on each other."""
SEVERAL = re.compile(r"  (%.*) = (\w+) of (%\S+) from (\d+)")
"""Short for reading numbers from an array, from a place on: `%a, %b = i64 of %array from 0`."""
KINDS = {"?": "i8", "l": "i64", "f": "float", "d": "double"}
BYTES = {"i8": 1, "i32": 4, "i64": 8, "float": 4, "double": 8}
CORES = {"argmax": (("n",), ()), "take": ((), ("m", "b"), ("b",))}
"""The axes that some of our loops work on themselves, see `Loop`."""
CASTS = {"?l": "zext", "?f": "uitofp", "?d": "uitofp", "lf": "sitofp", "ld": "sitofp", "fd": "fpext", "df": "fptrunc"}
"""Instructions that change a type, by the letters of both types."""


class Player:
    """Compiles loops and plays programs.

    Attributes:
        play: Plays what `repeat` does, given its data.
        play_long: Does the same, and lets other threads have Python meanwhile.
        each: The address of the loop that calls another one for each step along an axis.
        repeat: The address of the loop that plays rows several times.
    """

    def __init__(self) -> None:
        self._compiler = Compiler(cache_folder())
        play, self.each, self.repeat = self._compiler.functions(_whole(PLAY), ("play", "each", "repeat"))
        self._loops, self._kernels = dict[str, Loop](), dict[str, int]()
        # Python's lock is held, as a step is short: to let it go and to wait for it again may take longer.
        self.play: Callable[[int], None] = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(play)
        self.play_long: Callable[[int], None] = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(play)

    def loop(self, name: str) -> Loop:
        """Return one of our own loops, see `own_loop`; it is compiled where it is first asked for."""
        if name not in self._loops:
            text, kinds = own_loop(name)
            what, sizes = name.split(maxsplit=1)[0], tuple(BYTES[kind] for kind in kinds)
            (function,) = self._compiler.functions(_whole(text), [name])
            self._loops[name] = Loop(function, 0, sizes, core=CORES.get(what, ((),) * len(kinds)), name=what)
        return self._loops[name]

    def kernels(self, texts: Sequence[str], *, anew: bool = True) -> Mapping[str, int]:
        """Return the addresses of generated loops by their texts; without those to be compiled, if not `anew`."""
        new = {text: f"kernel {sha256(text.encode()).hexdigest()}" for text in texts if text not in self._kernels}
        if new:
            parts, notes = list[str](), list[str]()
            for n, (text, name) in enumerate(new.items()):
                parts.append(text.replace("@name", f'@"{name}"').replace("!GROUP", f"!{3 * n}"))
                parts[-1] = parts[-1].replace("!LOOP", f"!{3 * n + 1}")
                notes.append(PARALLEL.format(3 * n, 3 * n + 1, 3 * n + 2))
            text = _whole("".join([*parts, DECLARED, *notes]))
            addresses = self._compiler.functions(text, [*new.values()], anew=anew)
            self._kernels.update(zip(new, addresses, strict=False))
        return self._kernels


def _whole(text: str) -> str:
    """Return a text with what is written short in it."""
    return SEVERAL.sub(_loads, text)


def _loads(short: re.Match[str]) -> str:
    """Return the lines that read several numbers from an array."""
    names, kind, array, first = short.groups()
    return "\n".join(
        f"  {name}.at = getelementptr {kind}, ptr {array}, i64 {place}\n  {name} = load {kind}, ptr {name}.at"
        for place, name in enumerate(names.split(", "), int(first))
    )


def own_loop(name: str) -> tuple[str, list[str]]:
    """Return the text of an own loop, and the types of its arrays.

    They are `cast TYPES`, from one to another, and `argmax TYPE`, with the letters of NumPy; `select SIZE`, which
    copies numbers of 1, 4 or 8 bytes where a mask is true; `copy 1`, as NumPy has no loop for truth values; and
    `take rows`, which copies rows of bytes without gaps.

    Raises UnknownError if there is none.
    """
    what, which = name.split()
    if what == "argmax" and which in "fd":
        return ARGMAX.format(name=name, kind=KINDS[which]), [KINDS[which], "i64"]
    if name == "take rows":
        return TAKE, ["i64", "i8", "i8"]
    if what == "cast" and which in CASTS:
        kinds = [KINDS[letter] for letter in which]
        body = f"%new = {CASTS[which]} {kinds[0]} %v0 to {kinds[1]}"
    elif name == "copy 1":
        kinds = ["i8", "i8"]
        body = "%new = add i8 %v0, 0"
    elif what == "select" and which in "148":
        kinds = ["i8", *[f"i{8 * int(which)}"] * 2]
        body = f"%chosen = icmp ne i8 %v0, 0\n  %new = select i1 %chosen, {kinds[1]} %v1, {kinds[1]} %v2"
    else:
        raise UnknownError(name)
    addresses, steps = (", ".join(f"%{letter}{n}" for n in range(len(kinds))) for letter in "as")
    loads = "\n".join(LOAD.format(n=n, kind=kind) for n, kind in enumerate(kinds))
    numbers = {"addresses": addresses, "steps": steps, "loads": loads, "kind": kinds[-1], "last": len(kinds) - 1}
    return ELEMENTWISE.format(name=name, body=body, **numbers), kinds


@dataclass
class Demand:
    """Has code compiled in this process once so many calls have asked for it that it pays.

    Attributes:
        calls, played: The numbers of calls that Python was to make, and compiled code.
    """

    calls: int = 0
    played: int = 0

    def player(self, calls: int) -> Player | None:
        """Return the player for so many calls more, or None where it does not pay yet or cannot be had."""
        self.calls += calls
        return the_player() if self.calls >= WORTH_A_PLAYER else None

    def kernels(self, calls: int) -> bool:
        """Tell whether generated loops pay for so many calls more; tapes of one shape share theirs."""
        self.played += calls
        return self.played >= WORTH_KERNELS and calls >= WORTH_KERNELS // 5


@cache
def demand() -> Demand:
    """Return the demand in this process."""
    return Demand()


@cache
def the_player() -> Player | None:
    """Return the player of this process; None where llvmlite is not installed or cannot compile here."""
    try:
        return Player()
    except (ImportError, OSError, RuntimeError):
        return None
