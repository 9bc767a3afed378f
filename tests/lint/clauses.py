#!/usr/bin/python3
"""Which clauses of the specifications a test names, and which none does.

A test names the clause it proves: MT-54, TK-40, AF-63 (docs/conformance/ids.txt), or [MQTT-3.1.2-24] of MQTT 5.0.
Plain, this checks that every clause named anywhere exists and counts the rest. --write renews
docs/conformance/clauses.md, which lists them all; that is part of `make docs`.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IDS = os.path.join(ROOT, 'docs', 'conformance', 'ids.txt')
PAGE = os.path.join(ROOT, 'docs', 'conformance', 'clauses.md')
OURS = re.compile(r'\b(MT|TK|AF)-(\d+)(?:\.\.(?:\1-)?(\d+))?\b')
MQTT5 = re.compile(r'\[?MQTT-(\d+(?:\.\d+)+-\d+)\]?')
STATES = {'': 'to be tested', 'later': 'belongs to a later step', 'client': 'rule for peers; nothing of ours to test',
          'note': 'background, not a rule'}


def read_ids():
    """id -> (state, text); rows are: ID | state | text"""
    ids = {}
    for line in open(IDS, encoding='utf-8'):
        if line.strip() and not line.startswith('#'):
            name, state, text = (part.strip() for part in line.split('|', 2))
            ids[name] = (state, text)
    return ids


def all_files():
    for top in ('src', 'include', 'tests'):
        for folder, names, files in os.walk(os.path.join(ROOT, top)):
            names[:] = sorted(n for n in names if n not in ('node_modules', '__pycache__', 'lint', 'corpus'))
            for name in sorted(files):
                if name.endswith(('.c', '.h', '.py', '.mjs', '.json')) and not name.startswith('package'):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def is_test(file):
    return file.startswith('tests/') or file.endswith(('_test.c', '_fuzz.c', '_test.h'))


def clauses_in(text):
    for prefix, first, last in OURS.findall(text):
        for n in range(int(first), int(last or first) + 1):
            yield '%s-%d' % (prefix, n)
    for number in MQTT5.findall(text):
        yield 'MQTT-' + number


def collect(ids):
    proofs, unknown = {}, []
    for file in all_files():
        text = open(os.path.join(ROOT, file), encoding='utf-8', errors='replace').read()
        for clause in set(clauses_in(text)):
            if not clause.startswith('MQTT-') and clause not in ids:
                unknown.append('%s: there is no clause %s in docs/conformance/ids.txt' % (file, clause))
            elif is_test(file):
                proofs.setdefault(clause, set()).add(file)
    return proofs, unknown


def order(clause):
    prefix, rest = clause.split('-', 1)
    return prefix, [int(n) for n in re.findall(r'\d+', rest)]


def write_page(ids, proofs):
    lines = ['# Clauses and the tests that name them', '',
             '<!-- made by tests/lint/clauses.py --write; do not edit -->', '',
             'MT: the MQTT-TLS profile of ACE (RFC 9431). AF: the ACE framework (RFC 9200, 9201, 9202, 9237). TK: tokens and',
             'keys (RFC 7515 to 7519, 7638, 7800, 8037, 8705). The one-line texts are reminders, not the rules.', '']
    for prefix in ('MT', 'AF', 'TK'):
        mine = sorted((i for i in ids if i.startswith(prefix)), key=order)
        tested = sum(1 for i in mine if i in proofs)
        lines += ['## %s: %d of %d named by a test' % (prefix, tested, len(mine)), '', '| clause | about | tests |', '|---|---|---|']
        for clause in mine:
            state, text = ids[clause]
            tests = '<br>'.join('`%s`' % f for f in sorted(proofs.get(clause, ()))) or '**none**: ' + STATES[state]
            lines.append('| %s | %s | %s |' % (clause, text, tests))
        lines.append('')
    mqtt = sorted((c for c in proofs if c.startswith('MQTT-')), key=order)
    lines += ['## MQTT 5.0: %d statements named by a test' % len(mqtt), '', '| statement | tests |', '|---|---|']
    lines += ['| %s | %s |' % (c, '<br>'.join('`%s`' % f for f in sorted(proofs[c]))) for c in mqtt]
    with open(PAGE, 'w', encoding='utf-8') as f:
        f.write('\n'.join(lines) + '\n')


def main():
    ids = read_ids()
    proofs, unknown = collect(ids)
    if '--write' in sys.argv[1:]:
        write_page(ids, proofs)
    missing = sorted((i for i in ids if i not in proofs and ids[i][0] == ''), key=order)
    if missing:
        print('no test names: ' + ' '.join(missing))
    print('\n'.join(unknown) if unknown else 'clauses: %d of %d named by tests, %d due and not named, and %d of MQTT 5.0' % (
        sum(1 for i in ids if i in proofs), len(ids), len(missing), sum(1 for c in proofs if c.startswith('MQTT-'))))
    return 1 if unknown else 0


if __name__ == '__main__':
    sys.exit(main())
