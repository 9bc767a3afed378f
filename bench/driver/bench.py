"""What every bench here shares: a scratch folder, certificates, the authorization server, the generators, a deadline."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

from authorization import AuthorizationServer
from daemons import BROKER_CPU, GENERATOR_CPU, Daemon, Failed, OutOfTime, make_certificates, pinned, program
from scenarios import TLS

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RUN_LIMIT_S = 120


class Bench:
    def __init__(self, build, scratch, pin=True, deadline=None):
        self.build, self.scratch, self.deadline = build, scratch, deadline
        self.can_pin = pin and (os.cpu_count() or 1) > 1
        self.pin(True)
        self.certificates = make_certificates(scratch / "certificates")
        self.tokens = {}  # name of a set: its file
        self.authorization_server = None

    def pin(self, wanted):
        """Processes started from now on: broker and generator on a core each, or where the kernel puts them."""
        self.broker_cpu, self.generator_cpu = (BROKER_CPU, GENERATOR_CPU) if wanted and self.can_pin else (None, None)

    def program(self, name):
        return program(self.build, name)

    def start_server(self, **kinds):
        self.authorization_server = AuthorizationServer(self, **kinds)
        return self.authorization_server

    def stop(self):
        if self.authorization_server is not None:
            self.authorization_server.stop()

    def run(self, args, fine=(0,), limit=RUN_LIMIT_S):
        """A generator, to its end; what it prints. Interrupted or out of time it is killed."""
        left = limit if self.deadline is None else self.deadline - time.monotonic()
        if left <= 0:
            raise OutOfTime(f"before {args[1]}")
        try:
            done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=min(limit, left),
                                  preexec_fn=pinned(self.generator_cpu))
        except subprocess.TimeoutExpired:
            if left < limit:
                raise OutOfTime(f"in {args[1]}") from None
            raise Failed(f"{args[1]} did not end within {limit:.0f} s") from None
        if done.returncode not in fine:
            raise Failed(f"{args[1]}: {done.stderr.strip()[-500:] or done.returncode}")
        return done.stdout

    def generate(self, words, broker, login, fine=(0, 1), limit=RUN_LIMIT_S):
        """`symbolon bench`; what is lost makes it fail (1), but is counted and shown by those who called."""
        return json.loads(self.run([self.program("symbolon"), "bench", *words, *login, "--json", f"--pid={broker.pid}",
                                    "--keepalive=0", f"--tls-priority={TLS}", f"mqtts://127.0.0.1:{broker.port}"], fine, limit))

    def ask(self, words, port, pid, limit=RUN_LIMIT_S):
        """`token_bench`: requests for tokens, and what happens when they end."""
        return json.loads(self.run([self.build / "bench" / "token_bench", *words, f"--port={port}", f"--pid={pid}"], limit=limit))


@contextmanager
def scratch_folder(keep, where=None):
    """Gone at the end, and with it every daemon, whatever the end is; SIGTERM and SIGHUP are ends like any other."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="symbolon-bench-", dir=where))
    try:
        yield folder
    finally:
        for daemon in list(Daemon.running):
            daemon.stop()
        if keep:
            print(f"scratch folder: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def end_with(main):
    try:
        main()
    except Failed as failed:
        sys.exit(f"bench: {failed}")
    except OutOfTime as where:
        sys.exit(f"bench: out of time, {where}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
