#!/usr/bin/python3
"""Which clauses of the specifications a test or a case of the conformance kit names, and why the others have none.

A test names the clause it proves: MT-54, TK-40, AF-63 (docs/conformance/ids.txt), or [MQTT-3.1.2-24] of MQTT 5.0; a case of
the kit (src/kit/theme_*.c, run whole by tests/blackbox/t_conformance_test.py) does so in its table. A clause that none names
must have its reason in ids.txt. --write renews docs/conformance/mqtt-tls.md and mqtt5.md; that is part of `make docs`.
Fails if a clause has neither a test nor a reason, if it has both, if a test names one there is none of, and if the
pages are not what --write would make.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, 'docs', 'conformance')
OURS = re.compile(r'\b(MT|TK|AF)-(\d+)(?:\.\.(?:\1-)?(\d+))?\b')
MQTT5 = re.compile(r'\[?MQTT-(\d+(?:\.\d+)+-\d+)\]?')
KIT_CASE = re.compile(r'\{\s*"([AB]-\d+)",\s*((?:"[^"]*"|[A-Z]+)(?:\s*"[^"]*")*),')
TEST_NAME = re.compile(r'^(?:def (test_\w+)|(?:async )?function (\w+)|static void (\w+)\(void \*\*)', re.M)
TITLES = {'MT': 'The MQTT-TLS profile (RFC 9431, draft-06)', 'AF': 'The ACE framework (RFC 9200, 9201, 9202, 9237, 9770)',
          'TK': 'Tokens and keys (RFC 7515 to 7519, 7638, 7800, 8037, 8392, 8705, 8747, 9052)'}


def read_ids():
    """id -> (reason, text); rows are: ID | reason for having no test | text"""
    ids = {}
    for line in open(os.path.join(FOLDER, 'ids.txt'), encoding='utf-8'):
        if line.strip() and not line.startswith('#'):
            name, reason, text = (part.strip() for part in line.split('|', 2))
            ids[name] = (reason, text)
    return ids


def all_files():
    for top in ('src', 'include', 'tests'):
        for folder, names, files in os.walk(os.path.join(ROOT, top)):
            names[:] = sorted(n for n in names if n not in ('node_modules', '__pycache__', 'lint', 'corpus'))
            for name in sorted(files):
                if name.endswith(('.c', '.h', '.py', '.mjs', '.json')) and not name.startswith('package'):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def is_test(file):
    return file.startswith('tests/') or file.endswith(('_test.c', '_fuzz.c', '_test.h')) or file == 'src/kit/vectors.c'


def is_kit(file):
    return file.startswith('src/kit/theme_')


def clauses_in(text):
    for prefix, first, last in OURS.findall(text):
        for n in range(int(first), int(last or first) + 1):
            yield '%s-%d' % (prefix, n)
    for number in MQTT5.findall(text):
        yield 'MQTT-' + number


def test_name(text, at):
    """The test a citation stands in, or in front of; '' if it speaks for the whole file."""
    names = list(TEST_NAME.finditer(text))
    after = next((m for m in names if m.start() > at), None)
    if after is not None and '}' not in text[at:after.start()] and ';' not in text[at:after.start()]:
        return next(g for g in after.groups() if g)
    before = [m for m in names if m.start() <= at]
    return next(g for g in before[-1].groups() if g) if before else ''


def cited(text):
    """(clause, test name), one for each place"""
    for pattern in (OURS, MQTT5):
        for m in pattern.finditer(text):
            for clause in clauses_in(m[0]):
                yield clause, test_name(text, m.start())


def collect(ids):
    """clause -> {file: [test names]}; clause -> [kit cases]; complaints"""
    tests, cases, unknown = {}, {}, []
    for file in all_files():
        text = open(os.path.join(ROOT, file), encoding='utf-8', errors='replace').read()
        for clause in sorted(set(clauses_in(text))):
            if not clause.startswith('MQTT-') and clause not in ids:
                unknown.append('%s: there is no clause %s in docs/conformance/ids.txt' % (file, clause))
        if is_kit(file):
            defines = dict(re.findall(r'#define (\w+)\s+"([^"]*)"', text))
            for case, written in KIT_CASE.findall(text):
                for clause in set(clauses_in(defines.get(written, written))):
                    cases.setdefault(clause, []).append(case)
        elif is_test(file):
            for clause, name in cited(text):
                found = tests.setdefault(clause, {}).setdefault(file, [])
                if name and name not in found:
                    found.append(name)
    return tests, cases, unknown


def order(clause):
    prefix, rest = clause.split('-', 1)
    return prefix, [int(n) for n in re.findall(r'\d+', rest)]


def evidence(clause, tests, cases):
    out = []
    if clause in cases:
        out.append('kit: ' + ' '.join(sorted(cases[clause], key=order)))
    for file, names in sorted(tests.get(clause, {}).items()):
        shown = ', '.join(names[:3]) + (' and %d more' % (len(names) - 3) if len(names) > 3 else '')
        out.append('`%s`' % file + (': ' + shown if shown else ''))
    return '<br>'.join(out)


def clause_page(ids, tests, cases):
    lines = ['# Conformance: ACE over MQTT-TLS', '', '<!-- made by tests/lint/clauses.py --write; do not edit -->', '',
             'Every rule of the MQTT-TLS profile (RFC 9431 and draft-06), of the ACE framework and of the token formats, as',
             'our digests of them number the rules: *implemented and tested*, with the tests that name it, or',
             '*deliberately not*, with the reason. `B-…` and `A-…` are cases of the conformance kit ([kit.md](kit.md)), which',
             'run against our broker and authorization server in the test suite, and against anybody\'s by hand. The texts',
             'are reminders, not the rules. What tests name of MQTT 5.0 itself is in [mqtt5.md](mqtt5.md).', '']
    for prefix in ('MT', 'AF', 'TK'):
        mine = sorted((i for i in ids if i.startswith(prefix)), key=order)
        proved = sum(1 for i in mine if i in tests or i in cases)
        lines += ['## %s' % TITLES[prefix], '', '%d rules: %d implemented and tested, %d deliberately not.' % (
            len(mine), proved, len(mine) - proved), '', '| clause | about | state |', '|---|---|---|']
        for clause in mine:
            reason, text = ids[clause]
            proof = evidence(clause, tests, cases)
            state = 'implemented and tested: ' + proof if proof else 'deliberately not, because ' + (reason or '**no reason yet**')
            lines.append('| %s | %s | %s |' % (clause, text, state))
        lines.append('')
    return '\n'.join(lines)


def mqtt5_page(tests, cases):
    named = sorted({c for c in list(tests) + list(cases) if c.startswith('MQTT-')}, key=order)
    lines = ['# MQTT 5.0: %d statements named by a test' % len(named), '',
             '<!-- made by tests/lint/clauses.py --write; do not edit -->', '', '| statement | tests |', '|---|---|']
    return '\n'.join(lines + ['| %s | %s |' % (c, evidence(c, tests, cases)) for c in named]) + '\n'


def main():
    ids = read_ids()
    tests, cases, problems = collect(ids)
    pages = {'mqtt-tls.md': clause_page(ids, tests, cases), 'mqtt5.md': mqtt5_page(tests, cases)}
    for name, page in pages.items():
        path = os.path.join(FOLDER, name)
        if '--write' in sys.argv[1:]:
            with open(path, 'w', encoding='utf-8') as f:
                f.write(page)
        elif not os.path.exists(path) or open(path, encoding='utf-8').read() != page:
            problems.append('docs/conformance/%s is not what the tests say now: run tests/lint/clauses.py --write' % name)
    proved = {i for i in ids if i in tests or i in cases}
    problems += ['%s: neither a test nor a reason in docs/conformance/ids.txt' % i for i in ids
                 if i not in proved and not ids[i][0]]
    problems += ['%s: tested, so the reason in docs/conformance/ids.txt is out of date' % i for i in ids
                 if i in proved and ids[i][0]]
    print('\n'.join(problems) if problems else 'clauses: %d of %d named by tests, %d not for a reason, and %d of MQTT 5.0' % (
        len(proved), len(ids), len(ids) - len(proved), sum(1 for c in tests if c.startswith('MQTT-'))))
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
