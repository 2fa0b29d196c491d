"""Loaded by every Python that a test starts: tells the test if a command printed a traceback, however it was started.

See `no_command_prints_a_traceback` in tests/conftest.py. A traceback counts if it went through the command's entry point:
programs of the tests' own may fail as they like.
"""

import os
import sys


def _tell(text, traceback):
    place = os.environ.get("RMAPLAB_TRACEBACKS")
    while place and traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_name == "main" and code.co_filename.endswith(os.path.join("rmaplab", "cli", "app.py")):
            with open(os.path.join(place, str(os.getpid())), "a") as file:
                print(" ".join(sys.argv), text, file=file)
            return
        traceback = traceback.tb_next


def _excepthook(kind, value, traceback):
    sys.__excepthook__(kind, value, traceback)
    _tell(f"{kind.__name__}: {value}", traceback)


def _unraisablehook(what):
    sys.__unraisablehook__(what)
    _tell(f"{what.err_msg}: {what.exc_value}", what.exc_traceback)


sys.excepthook, sys.unraisablehook = _excepthook, _unraisablehook
