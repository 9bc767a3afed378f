"""Processes to be measured: started on their core in a scratch folder, found, stopped; and the certificates they all show."""
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1  # linux/prctl.h
BROKER_CPU, GENERATOR_CPU = 0, 1
LISTENING = "0A"  # /proc/net/tcp


class Failed(Exception):
    pass


class OutOfTime(Exception):
    """Not a failure of what is measured: nothing more can be."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Failed(f"{args[0]} {args[1]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def program(build, name):
    return build / "src" / ("cli" if name == "symbolon" else name.removeprefix("symbolon-")) / name


def pinned(cpu):
    """For preexec_fn: the process stays on one core (None leaves it alone) and never outlives us."""
    libc = ctypes.CDLL(None)

    def before_exec():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    return before_exec


def listener(port):
    """The process that listens there, if it is one we may look into: what a command starts may be a script around it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            rows = [line.split() for line in pathlib.Path(table).read_text().splitlines()[1:]]
            inodes |= {f"socket:[{row[9]}]" for row in rows if row[3] == LISTENING and int(row[1].rsplit(":", 1)[1], 16) == port}
    for process in pathlib.Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(os.readlink(fd) in inodes for fd in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:  # not ours, or gone
            continue
    return None


class Daemon:
    """A process of ours and what it starts: one group, stopped by its number, killed if it does not listen to that."""

    running = []  # so that none is left behind, whenever we are interrupted

    def __init__(self, args, log, cpu):
        self.log = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen([str(a) for a in args], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            preexec_fn=pinned(cpu), start_new_session=True)
        self.running.append(self)

    @property
    def pid(self):
        return self.process.pid

    def wait_for_port(self, port, seconds=10):
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            with socket.socket() as s:
                s.settimeout(1)
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        self.stop()
        raise Failed(f"{self.process.args[0]} does not listen:\n{pathlib.Path(self.log).read_text(errors='replace')[-2000:]}")

    def stop(self, with_signal=signal.SIGTERM):
        for number in (with_signal, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        if self in self.running:
            self.running.remove(self)

    def kill(self):
        self.stop(signal.SIGKILL)


def make_certificates(folder):
    """An authority and a P-256 server certificate for the loopback: the same for every broker."""
    folder.mkdir()
    key = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]
    run(*key, folder / "ca.key")
    run(*key, folder / "server.key")
    run("openssl", "req", "-x509", "-new", "-key", folder / "ca.key", "-subj", "/CN=bench", "-days", "3",
        "-out", folder / "ca.pem")
    run("openssl", "req", "-new", "-key", folder / "server.key", "-subj", "/CN=localhost", "-out",
        folder / "server.csr")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("openssl", "x509", "-req", "-in", folder / "server.csr", "-CA", folder / "ca.pem", "-CAkey",
        folder / "ca.key", "-CAcreateserial", "-days", "3", "-extfile", folder / "names", "-out",
        folder / "server.pem")
    return folder
