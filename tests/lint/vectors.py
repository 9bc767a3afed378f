#!/usr/bin/python3
"""The packet vectors are what tests/vectors/mqtt/make writes: nobody edits them by hand, and a change of the tables shows."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.exit(subprocess.run([sys.executable, '-B', os.path.join(ROOT, 'tests', 'vectors', 'mqtt', 'make'), '--check'],
                        stdout=subprocess.DEVNULL).returncode)
