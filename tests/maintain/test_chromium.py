"""The Chromium of the tests does not see that an address of this machine changes."""

import errno
import platform
import subprocess
import sys

from maintain.chromium import SOCKET

from tests.harness import ROOT

OPEN = """
import socket, sys
from maintain.chromium import refuse_netlink
refuse_netlink(int(sys.argv[1]))
socket.socket(socket.AF_INET).close()
socket.socket(socket.AF_UNIX).close()
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
except OSError as error:
    print(error.errno)
"""


def test_only_netlink_sockets_are_refused() -> None:
    command = [sys.executable, "-c", OPEN, str(SOCKET[platform.machine()])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(errno.EAFNOSUPPORT)]
