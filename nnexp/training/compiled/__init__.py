"""The tape played by compiled code, with the same bits: NumPy's own inner loops, called without Python in between.

`translate` turns the calls of a tape into rows, `program` lays them out in memory, `player` plays them, and `loops`
knows where NumPy has its loops. Nothing else of the package needs to know of it, but for the tape.
"""
