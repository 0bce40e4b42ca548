"""The tape played by compiled code, with the same bits: NumPy's own inner loops, called without Python in between.

`translate` turns the calls of a tape into rows, `fuse` makes one loop of several, `runs` repeats them for all runs and
steps, `program` lays them out in memory, `player` plays them; `compiler` keeps what was compiled, and `loops` knows
where NumPy has its loops. The rest of the package needs to know of it where a tape is played, and where steps are made:
in `tape`, `binding` and `stack`.
"""
