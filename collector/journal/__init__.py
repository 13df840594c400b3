"""What was acknowledged and not yet decided, on disk: a crash loses none of it.

    receiver process                          engine process
    GroupCommit --- segments of one folder --> replay at start, then Keeper: what is decided is let go

One folder a receiver, one writer a folder. A segment file is a header and records (`records`); its name is the
number of its first record, so one number, `passed`, says what may leave.
"""
