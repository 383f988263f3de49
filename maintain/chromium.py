#!/usr/bin/env python3
"""Becomes Chromium, which then cannot watch the network of this machine. Its arguments are Chromium's.

Chromium drops its connections, those to 127.0.0.1 too, when an address of this machine changes (ERR_NETWORK_CHANGED).
Each container that starts or ends changes one. Chromium learns of it from a netlink socket, and has no option against
it: so the kernel refuses such sockets, and Chromium takes the network as one that never changes.

The filter is a program of the kernel's seccomp for the machines of SOCKET; on others, Chromium starts without it.
"""

import ctypes
import errno
import os
import platform
import shutil
import socket
import struct
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The number of the call socket().
SOCKET = {"x86_64": 41, "aarch64": 198}
# linux/prctl.h, linux/seccomp.h, linux/bpf_common.h: load a word; jump if equal; return.
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER_MODE = 38, 22, 2
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
REFUSED, ALLOWED = 0x00050000 | errno.EAFNOSUPPORT, 0x7FFF0000
# Where struct seccomp_data holds the call's number and its first argument.
NUMBER, FIRST_ARGUMENT = 0, 16


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def refuse_netlink(socket_call: int) -> None:
    """Have the kernel refuse socket(AF_NETLINK) to this process and its children. Errors: OSError if it does not."""
    code = [
        (LOAD, 0, 0, NUMBER),
        (IF_EQUAL, 0, 3, socket_call),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_EQUAL, 0, 1, socket.AF_NETLINK),
        (RETURN, 0, 0, REFUSED),
        (RETURN, 0, 0, ALLOWED),
    ]
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in code))
    program = Program(len(code), ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in [(NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SET_SECCOMP, FILTER_MODE, ctypes.byref(program), 0, 0)]:
        if libc.prctl(*arguments):
            number = ctypes.get_errno()
            raise OSError(number, f"prctl: {os.strerror(number)}")


def main() -> None:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        raise SystemExit(f"error: none of {', '.join(NAMES)} is on the PATH; do: run setup/ensure_browser.sh")
    if platform.machine() in SOCKET:
        refuse_netlink(SOCKET[platform.machine()])
    os.execv(executable, [executable, *sys.argv[1:]])


if __name__ == "__main__":
    main()
