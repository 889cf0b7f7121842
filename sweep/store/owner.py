"""Which process something belongs to, written so that what a killed process left can be told from what a live one has."""

from __future__ import annotations

import os
import socket

import psutil


def this_process() -> str:
    """This process, as `HOST:PID`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_here(owner: str) -> bool:
    """Whether `HOST:PID` names a process of this machine."""
    host, _, process = owner.rpartition(":")
    return host == socket.gethostname() and process.isdigit()


def is_left(owner: str, by: str) -> bool:
    """Whether what `HOST:PID` is said to be doing, and no other live process may be doing, was left by one that is gone.

    Args:
        by: the process that asks. What it is said to be doing before it has begun, an earlier one of its number left.
    """
    return owner == by or is_gone(owner)


def is_gone(owner: str) -> bool:
    """Whether `HOST:PID` names a process of this machine that has ended; of other machines nothing is known."""
    return is_here(owner) and not psutil.pid_exists(int(owner.rpartition(":")[2]))
