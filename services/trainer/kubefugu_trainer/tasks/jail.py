"""Runs a model's program in a process that can compute and nothing else. Executed by path, by `python -I -S`.

Works without privileges and without user namespaces: resource limits, no_new_privs, and a seccomp filter that allows the system
calls of a computing process and refuses all others with EPERM: sockets, processes, threads, programs, files, signals to others.
What programs usually import is imported before. The job comes on stdin; the nonce goes to the verdict's descriptor only after
the tests have run to their end, so a program that exits early has not passed. Nothing of ours is imported.
"""

import ctypes
import json
import os
import platform
import resource
import struct
import sys

PRELOADED = (
    "abc", "array", "bisect", "calendar", "cmath", "collections", "collections.abc", "contextlib", "copy", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "io", "itertools", "json", "locale", "math",
    "numbers", "operator", "queue", "random", "re", "secrets", "signal", "statistics", "string", "struct", "textwrap",
    "threading", "time", "traceback", "types", "typing", "unicodedata", "uuid", "_strptime", "encodings.ascii",
    "encodings.idna", "encodings.latin_1",
)  # fmt: skip
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH of linux/audit.h."""
# Names and numbers: Linux's syscall tables (x86_64; asm-generic, which aarch64 uses).
ALLOWED = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
        "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "select": 23, "sched_yield": 24, "mremap": 25,
        "madvise": 28, "nanosleep": 35, "getpid": 39, "exit": 60, "uname": 63, "gettimeofday": 96, "getrusage": 98,
        "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "sigaltstack": 131, "gettid": 186,
        "time": 201, "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
        "exit_group": 231, "getrandom": 318,
    },
    "aarch64": {
        "close": 57, "lseek": 62, "read": 63, "write": 64, "pselect6": 72, "ppoll": 73, "fstat": 80, "exit": 93,
        "exit_group": 94, "futex": 98, "nanosleep": 101, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115,
        "sched_yield": 124,
        "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
        "times": 153, "uname": 160, "getrusage": 165, "gettimeofday": 169, "getpid": 172, "getuid": 174, "geteuid": 175,
        "getgid": 176, "getegid": 177, "gettid": 178, "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226,
        "madvise": 233, "getrandom": 278,
    },
}  # fmt: skip
NO_NEW_PRIVS, SET_SECCOMP, FILTER_MODE = 38, 22, 2
RETURN_ALLOW, RETURN_EPERM, RETURN_KILL = 0x7FFF0000, 0x00050001, 0x80000000
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
X32 = 0x40000000
"""Bit of the x32 ABI's numbers, which would go around a filter by x86_64 numbers."""


def instructions(machine: str) -> bytes:
    """The filter as struct sock_filter[] (linux/filter.h): code, jump if true, jump if false, operand."""
    numbers = sorted(ALLOWED[machine].values())
    program = [
        (LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, MACHINES[machine]), (RETURN, 0, 0, RETURN_KILL),
        (LOAD, 0, 0, 0), (JUMP_AT_LEAST, 0, 1, X32), (RETURN, 0, 0, RETURN_KILL),
    ]  # fmt: skip
    for i, number in enumerate(numbers):
        program.append((JUMP_EQUAL, len(numbers) - i, 0, number))
    program += [(RETURN, 0, 0, RETURN_EPERM), (RETURN, 0, 0, RETURN_ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in program)


def lock(machine: str) -> None:
    """Install the filter; there is no way back. Raises OSError where the kernel has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    raw = instructions(machine)
    steps = ctypes.create_string_buffer(raw, len(raw))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    program = Program(len(raw) // 8, ctypes.cast(steps, ctypes.c_void_p))
    for arguments in ((NO_NEW_PRIVS, 1, 0, 0, 0), (SET_SECCOMP, FILTER_MODE, ctypes.byref(program), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def limit(cpu_s: int, memory_bytes: int) -> None:
    """Resource limits; the processor's ends the process with a signal that it cannot catch a second later."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    for what, most in (("AS", memory_bytes), ("CORE", 0), ("FSIZE", 0), ("NOFILE", 16), ("STACK", 16 << 20)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (most, most))


def main() -> None:
    """Read the job, lock the process, run the program and its tests, leave the verdict."""
    verdict, cpu_s, memory_bytes = (int(value) for value in sys.argv[1:4])
    job = json.loads(sys.stdin.buffer.read())
    sys.stdin.close()
    for name in PRELOADED:
        __import__(name)
    machine = platform.machine()
    if machine not in MACHINES:
        os.write(verdict, b"unsupported")
        return
    limit(cpu_s, memory_bytes)
    try:
        lock(machine)
    except OSError:
        os.write(verdict, b"unsupported")
        return
    nonce = job.pop("nonce").encode()
    scope = {"__name__": "solution"}
    exec(compile(job["code"], "<solution>", "exec"), scope)  # noqa: S102 - that is what the jail is for
    exec(compile(job["tests"], "<tests>", "exec"), scope)  # noqa: S102 - so is this
    os.write(verdict, nonce)


if __name__ == "__main__":
    main()
