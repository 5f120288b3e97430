"""Runs the emulator until its standard input is closed, which also happens when the process that started it ends."""

import os
import signal
import socketserver
import sys
import threading

from ministack.app import main
from ministack.services import lambda_svc

# Without this, Nagle's algorithm delays each response to a function by about 40 ms.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

# The numbers of a mapping that a template takes from parameters are texts here. On AWS they are numbers, and the SDK refuses
# others.
NUMBERS = ["MaximumRecordAgeInSeconds", "MaximumRetryAttempts", "ParallelizationFactor"]
mapping_as_it_is = lambda_svc._esm_response


def mapping_with_numbers(mapping):
    response = mapping_as_it_is(mapping)
    return response | {name: int(response[name]) for name in NUMBERS if name in response}


lambda_svc._esm_response = mapping_with_numbers


def end_with_standard_input():
    sys.stdin.buffer.read()
    # This also ends the functions, which are processes of the same group.
    os.killpg(0, signal.SIGKILL)


os.setpgrp()
threading.Thread(target=end_with_standard_input, daemon=True).start()
main()
