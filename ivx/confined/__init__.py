"""Processes of their own for what cannot be trusted: bounded in memory, time and what they write, and off the net.

`program` runs a module once. An `original` is a process that has imported what is needed; copies of it begin at once,
each for one stranger. Messages are JSON both ways, so that nothing which comes back can be more than data.

What a copy may do is held by the system, not by its good will: memory, processor time, file size and a timer of
the kernel end it in the midst of native code. That it reads other files, or reaches for the net, is refused by a hook
of Python's; libraries in native code pass that by, and none of them opens a name that a stranger gave.
"""
