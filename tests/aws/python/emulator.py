"""Runs the emulator until its standard input is closed, which also happens when the process that started it ends."""

import os
import signal
import socketserver
import sys
import threading

from ministack.app import main

# Without this, Nagle's algorithm delays each response to a function by about 40 ms.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True


def end_with_standard_input():
    sys.stdin.buffer.read()
    # This also ends the functions, which are processes of the same group.
    os.killpg(0, signal.SIGKILL)


os.setpgrp()
threading.Thread(target=end_with_standard_input, daemon=True).start()
main()
