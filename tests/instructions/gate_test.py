#!/usr/bin/python3
"""The gate itself: what it reads out of a profile, what it lets pass, and that the whole of it notices a slowdown."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import gate  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PROFILE = """
events: Ir
ob=/checkout/build/counts
fl=../../src/shard/publish.c
fn=on_publish
10 100
fi=../../src/base/span.h
12 20
fe=../../src/shard/publish.c
cob=/usr/lib/x86_64-linux-gnu/libc.so.6
cfi=malloc.c
cfn=malloc
calls=3 0
11 999
cob=/usr/lib/x86_64-linux-gnu/libgnutls.so.30
cfn=gnutls_hash
calls=2 0
13 5000
fl=../../tests/instructions/message.c
fn=publish
5 7
cfi=../../src/shard/publish.c
cfn=on_publish
calls=1 0
6 120
ob=/usr/lib/x86_64-linux-gnu/libc.so.6
fl=malloc.c
fn=malloc
20 50
ob=/usr/lib/x86_64-linux-gnu/libgnutls.so.30
fl=???
fn=gnutls_hash
0 4000
cfn=gnutls_more
calls=9 0
0 1000
"""


def counts(instructions, allocations=2, crypto_calls=1):
    return {'instructions': instructions, 'allocations': allocations, 'crypto_calls': crypto_calls}


class Reading(unittest.TestCase):
    def test_a_profile_is_divided_into_ours_and_libraries_crypto_and_the_scenario(self):
        sums = gate.read_profile(PROFILE.splitlines(keepends=True))
        self.assertEqual(sums['counted', 'Ir'], 170)
        self.assertEqual(sums['driver', 'Ir'], 7)
        self.assertEqual(sums['crypto', 'Ir'], 4000)
        self.assertEqual(sums['allocations'], 3)
        self.assertEqual(sums['crypto_calls'], 2)

    def test_what_both_runs_have_in_common_cancels_out(self):
        short, long = ({('counted', 'Ir'): n, 'allocations': a, 'crypto_calls': 0, ('crypto', 'Ir'): 0} for n, a in
                       ((1050, 10), (2050, 20)))
        self.assertEqual(gate.per_operation(short, long, 10)['instructions'], 100)
        self.assertEqual(gate.per_operation(short, long, 10)['allocations'], 1)


class Comparing(unittest.TestCase):
    def test_three_percent_pass_and_more_does_not(self):
        self.assertEqual(gate.compare({'a': counts(1000)}, {'a': counts(1030)}), ([], []))
        complaints, hints = gate.compare({'a': counts(1000)}, {'a': counts(1031)})
        self.assertEqual((complaints, hints), (['a: instructions 1000 -> 1031 (+3.1 %)'], []))

    def test_small_steps_are_held_against_what_is_stored_not_against_each_other(self):
        stored = {'a': counts(1000)}
        self.assertEqual(gate.compare(stored, {'a': counts(1020)}), ([], []))
        self.assertTrue(gate.compare(stored, {'a': counts(1040)})[0])

    def test_what_became_cheaper_is_told_and_passes(self):
        self.assertEqual(gate.compare({'a': counts(1000)}, {'a': counts(969)}), ([], ['a: instructions 1000 -> 969 (-3.1 %)']))

    def test_a_first_allocation_is_too_much(self):
        self.assertEqual(gate.compare({'a': counts(1000, 0)}, {'a': counts(1000, 0.5)})[0], ['a: allocations 0 -> 0.5'])

    def test_one_more_signature_is_too_much(self):
        self.assertTrue(gate.compare({'a': counts(1000, 2, 10)}, {'a': counts(1000, 2, 11)})[0])

    def test_a_scenario_without_a_stored_count_is_not_let_through(self):
        self.assertEqual(gate.compare({}, {'a': counts(1000)})[0], ['a: nothing is stored for it'])

    def test_changes_are_named_and_noise_is_not(self):
        self.assertEqual(gate.changes({'a': counts(1000), 'b': counts(1000)}, {'a': counts(1001), 'b': counts(900)}),
                         ['b: instructions 1000 -> 900 (-10.0 %)'])


class Whole(unittest.TestCase):
    """With the program itself: one scenario, and files that say something else of it."""

    NAME = 'read_packets'

    def run_gate(self, path, *arguments):
        return subprocess.run([os.path.join(HERE, 'run'), '--expected', path, *arguments, self.NAME], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def test_a_slowdown_fails_until_a_reason_is_stored(self):
        with tempfile.TemporaryDirectory() as scratch:
            path = os.path.join(scratch, 'expected.json')
            first = self.run_gate(path, '--write', '--why', 'as it is')
            self.assertEqual(first.returncode, 0, first.stdout)
            self.assertEqual(self.run_gate(path).returncode, 0, 'counted twice, the same')

            with open(path, encoding='utf-8') as file:
                stored = json.load(file)
            stored['counts'][self.NAME]['instructions'] /= 1.05  # what it costs now is 5 % more than that
            with open(path, 'w', encoding='utf-8') as file:
                json.dump(stored, file)
            slower = self.run_gate(path)
            self.assertEqual(slower.returncode, 1, slower.stdout)
            self.assertIn('DEARER   %s: instructions' % self.NAME, slower.stdout)
            self.assertIn('+5.0 %', slower.stdout)

            refused = self.run_gate(path, '--write')
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn('--why', refused.stdout)
            self.assertEqual(self.run_gate(path, '--write', '--why', 'it checks more').returncode, 0)
            self.assertEqual(self.run_gate(path).returncode, 0)
            with open(path, encoding='utf-8') as file:
                changes = json.load(file)['changes']
            self.assertEqual([change['why'] for change in changes], ['as it is', 'it checks more'])
            self.assertIn('+5.0 %', changes[-1]['changed'][0])


if __name__ == '__main__':
    unittest.main()
