"""Runs the emulator until standard input ends, that is, at the latest when whoever started it is gone."""

import os
import signal
import socketserver
import sys
import threading

from ministack.app import main

# Without this, Nagle's algorithm holds each answer to a function back for some 40 ms.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True


def end_with_standard_input():
    sys.stdin.buffer.read()
    # The functions, too: they are processes of this group.
    os.killpg(0, signal.SIGKILL)


os.setpgrp()
threading.Thread(target=end_with_standard_input, daemon=True).start()
main()
