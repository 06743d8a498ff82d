"""A zygote whose readers are real, but crash in the middle of every clip of one width."""

import ctypes
import itertools
import sys

from worker.media.sandbox import child, zygote

WIDTH = 40
PICTURES = 5  # read by then


def decode(reader, path, given):
    if given["source"]["width"] == WIDTH:
        seen, proceed = itertools.count(1), reader.proceed

        def crash(*count):
            if next(seen) > PICTURES:
                ctypes.string_at(0)
            proceed(*count)

        reader.proceed = crash
    return child._decode(reader, path, given)


if __name__ == "__main__":
    child.TASKS = {**child.TASKS, "decode": decode}
    zygote.main(int(sys.argv[1]))
