#!/usr/bin/python3
"""Which clauses of the specifications a test or a case of the conformance kit names, and why the others have none.

A test names the clause it proves: MT-54, TK-40, AF-63 (docs/conformance/ids.txt), MQTT5 [MQTT-3.1.2-24] (mqtt5-ids.txt) or
MQTT311 [MQTT-3.1.2-24] (mqtt311-ids.txt), which is another statement. A list goes on with its version: MQTT311 [MQTT-a],
[MQTT-b] to [MQTT-c]; an id with no version in front is one of 5.0; "of both versions" behind it says what it says. A case
of the kit (src/kit/theme_*.c, run whole by tests/blackbox/t_conformance_test.py) names its clauses in its table.
A clause that none names must have its reason in its list. --write renews docs/conformance/mqtt-tls.md, mqtt5.md and
mqtt311.md; that is part of `make docs`.
Fails if a clause has neither a test nor a reason, if it has both, if a statement that binds one side has no test there,
if anything names one there is none of, and if the pages are not what --write would make.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, 'docs', 'conformance')
OURS = re.compile(r'\b(MT|TK|AF)-(\d+)(?:\.\.(?:\1-)?(\d+))?\b')
STATEMENT = r'\[?MQTT-\d+(?:\.\d+)+-\d+\]?'
BETWEEN = r'(?:\s|,|\bto\b|\band\b|\bor\b|\*|\d+(?:\.\d+)+|(?:MT|AF|TK|D)-\d+)+?'
STATEMENTS = re.compile(r'(?:\b(MQTT5|MQTT311|MQTT3)\s+)?(?:\d+(?:\.\d+)+,\s+)*(%s(?:%s%s)*)(\s+of\s+both\s+versions)?'
                        % (STATEMENT, BETWEEN, STATEMENT))
ONE_OR_RANGE = re.compile(r'MQTT-(\d+(?:\.\d+)+)-(\d+)(?:\]?\s+to\s+\[?MQTT-\1-(\d+))?')
KIT_CASE = re.compile(r'\{\s*"([AB]-\d+)",\s*((?:"[^"]*"|[A-Z]+)(?:\s*"[^"]*")*),')
TITLES = {'MT': 'The MQTT-TLS profile (RFC 9431, draft-06)', 'AF': 'The ACE framework (RFC 9200, 9201, 9202, 9237, 9770)',
          'TK': 'Tokens and keys (RFC 7515 to 7519, 7638, 7800, 8037, 8392, 8705, 8747, 9052)'}
# Where a statement that binds one side alone is shown; the codec's own tests are not enough.
SIDES = {'server': ('tests/scenarios/', 'tests/blackbox/', 'src/broker/', 'src/shard/', 'src/topic/', 'src/record/', 'src/net/', 'src/kit/'),
         'client': ('src/client/', 'tests/rude/', 'tests/blackbox/', 'src/net/')}
# prefix of the ids inside this script, list, page, name of the standard, date
STANDARDS = (('5:', 'mqtt5-ids.txt', 'mqtt5.md', 'MQTT 5.0', 'OASIS Standard, 7 March 2019'),
             ('311:', 'mqtt311-ids.txt', 'mqtt311.md', 'MQTT 3.1.1', 'OASIS Standard, 29 October 2014'))


# ---- the lists ----

def rows_of(name, columns):
    for line in open(os.path.join(FOLDER, name), encoding='utf-8'):
        if line.strip() and not line.startswith('#'):
            yield [part.strip() for part in line.split('|', columns - 1)]


def read_ids():
    """id -> (reason, text, who is bound); rows: ID | reason for having no test | text, or ID | binds | reason | text"""
    ids = {name: (reason, text, '') for name, reason, text in rows_of('ids.txt', 3)}
    for prefix, file, _, _, _ in STANDARDS:
        for name, binds, reason, text in rows_of(file, 4):
            if prefix + name in ids or binds not in ('server', 'client', 'both'):
                raise SystemExit('docs/conformance/%s: the row of %s is wrong' % (file, name))
            ids[prefix + name] = (reason, text, binds)
    return ids


def list_of(clause):
    return next((file for prefix, file, _, _, _ in STANDARDS if clause.startswith(prefix)), 'ids.txt')


# ---- what names a clause ----

def all_files():
    for top in ('src', 'include', 'tests'):
        for folder, names, files in os.walk(os.path.join(ROOT, top)):
            names[:] = sorted(n for n in names if n not in ('node_modules', '__pycache__', 'lint', 'corpus'))
            for name in sorted(files):
                if name.endswith(('.c', '.h', '.py', '.mjs', '.json')) and not name.startswith('package'):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def is_test(file):
    if file.endswith(('.py', '.json')):  # what makes vectors, and what they are classified by, proves nothing
        return file.endswith('_test.py') or file.startswith('tests/vectors/') and file.endswith('.json')
    return file.startswith('tests/') or file.endswith(('_test.c', '_fuzz.c', '_test.h')) or file == 'src/kit/vectors.c'


def is_kit(file):
    return file.startswith('src/kit/theme_')


def cited(text):
    """(clause, where) for each place that names one"""
    for m in OURS.finditer(text):
        for n in range(int(m[2]), int(m[3] or m[2]) + 1):
            yield '%s-%d' % (m[1], n), m.start()
    for run in STATEMENTS.finditer(text):
        prefixes = ('5:', '311:') if run[3] else ('311:',) if run[1] in ('MQTT311', 'MQTT3') else ('5:',)
        for m in ONE_OR_RANGE.finditer(run[2]):
            for n in range(int(m[2]), int(m[3] or m[2]) + 1):
                for prefix in prefixes:
                    yield '%sMQTT-%s-%d' % (prefix, m[1], n), run.start(2) + m.start()


# ---- which test that is ----

C_NAME = re.compile(r'(\w+)\s*(?:\(|\[[^]]*\]\s*=|\s=)')
PY_NAME = re.compile(r'^\s*(?:async\s+)?(?:def|function)\s+(\w+)')


def blocks_c(lines):
    """(first line, last line, name, is a test) of functions and tables, comments in front of them included"""
    first = start = None
    for i, line in enumerate(lines):
        if start is None:
            if line.startswith('/*') or line.startswith(' *'):
                first = i if first is None else first
            elif not line.strip():
                first = None
            elif re.match(r'[A-Za-z_]', line):
                start, first = i, i if first is None else first
        if start is not None and (line.startswith('}') or (i == start and line.rstrip().endswith((';', '}')))):
            head = ' '.join(lines[start:i + 1][:4])
            name = C_NAME.search(head)
            if name:
                yield first, i, name[1], '(void **' in head
            first = start = None


def blocks_py(lines):
    """the same for functions of Python and JavaScript: each ends where the next begins"""
    begin = []
    for i, line in enumerate(lines):
        m = PY_NAME.match(line)
        if m:
            first = i
            while first > 0 and lines[first - 1].lstrip().startswith(('#', '@', '//')):
                first -= 1
            begin.append((first, m[1]))
    for (first, name), (end, _) in zip(begin, begin[1:] + [(len(lines), '')]):
        yield first, end - 1, name, name.startswith('test') or 'function' in lines[first] or lines[first].startswith('@row(')


def tests_by_line(file, text):
    """A function: line -> the tests that stand there or make use of what stands there"""
    lines = text.split('\n')
    blocks = list(blocks_c(lines) if file.endswith(('.c', '.h')) else blocks_py(lines))
    bodies = {name: set(re.findall(r'\w+', '\n'.join(lines[first:last + 1]))) for first, last, name, _ in blocks}
    users = {}

    def tests_of(name, seen):
        if name in users:
            return users[name]
        found = []
        for _, _, other, test in blocks:
            if other != name and other not in seen and name in bodies[other]:
                found += [other] if test else tests_of(other, seen | {other})
        users[name] = list(dict.fromkeys(found))
        return users[name]

    def at(line):
        for first, last, name, test in blocks:
            if first <= line <= last and name != 'main':
                return [name] if test else tests_of(name, {name})
        return []

    return at


def collect(ids):
    """clause -> {file: [test names]}; clause -> [kit cases]; complaints"""
    tests, cases, unknown = {}, {}, []
    for file in all_files():
        text = open(os.path.join(ROOT, file), encoding='utf-8', errors='replace').read()
        places = list(cited(text))
        for clause in sorted({c for c, _ in places if c not in ids}):
            unknown.append('%s: there is no clause %s in docs/conformance/%s' % (
                file, clause.split(':')[-1], list_of(clause)))
        if is_kit(file):
            defines = dict(re.findall(r'#define (\w+)\s+"([^"]*)"', text))
            for case, written in KIT_CASE.findall(text):
                for clause in {c for c, _ in cited(defines.get(written, written))}:
                    cases.setdefault(clause, []).append(case)
        elif is_test(file) and places:
            at = tests_by_line(file, text) if not file.endswith('.json') else None
            for clause, where in places:
                found = tests.setdefault(clause, {}).setdefault(file if at else os.path.dirname(file), [])
                if at is None:  # rows of a table, all of one folder together
                    found[:] = ['%d rows' % (1 + (int(found[0].split()[0]) if found else 0))]
                else:
                    found += [n for n in at(text.count('\n', 0, where)) if n not in found]
    return tests, cases, unknown


# ---- the pages ----

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
             'are reminders, not the rules. MQTT itself: [5.0](mqtt5.md), [3.1.1](mqtt311.md).', '']
    for prefix in ('MT', 'AF', 'TK'):
        mine = sorted((i for i in ids if i.startswith(prefix)), key=order)
        proved = sum(1 for i in mine if i in tests or i in cases)
        lines += ['## %s' % TITLES[prefix], '', '%d rules: %d implemented and tested, %d deliberately not.' % (
            len(mine), proved, len(mine) - proved), '', '| clause | about | state |', '|---|---|---|']
        for clause in mine:
            reason, text, _ = ids[clause]
            proof = evidence(clause, tests, cases)
            state = 'implemented and tested: ' + proof if proof else 'deliberately not, because ' + (reason or '**no reason yet**')
            lines.append('| %s | %s | %s |' % (clause, text, state))
        lines.append('')
    return '\n'.join(lines)


def numbers(mine, ids, tests, cases):
    lines = ['| binds | statements | tested | not tested, for a reason |', '|---|---|---|---|']
    for who, text in (('server', 'the server'), ('client', 'the client'), ('both', 'both'), ('', 'all')):
        some = [i for i in mine if not who or ids[i][2] == who]
        tested = sum(1 for i in some if i in tests or i in cases)
        lines.append('| %s | %d | %d | %d |' % (text, len(some), tested, len(some) - tested))
    return lines


def mqtt_page(standard, ids, tests, cases):
    prefix, _, _, name, date = standard
    mine = [i for i in ids if i.startswith(prefix)]
    lines = ['# Conformance: %s' % name, '', '<!-- made by tests/lint/clauses.py --write; do not edit -->', '',
             'Every normative statement of %s (%s, appendix B), by its id there: whom it binds, a' % (name, date),
             'reminder of what it is about (in our words; the standard is the rule), and the tests that prove it, or why',
             'none does. What binds the broker is shown on the broker, what binds clients on our client library, what',
             'binds both on one of them at least, mostly on both. A statement that loses its last test fails the lint.', '']
    lines += numbers(mine, ids, tests, cases)
    chapter = None
    for clause in mine:
        reason, text, binds = ids[clause]
        name = clause[len(prefix):]
        if name.split('.')[:2] != chapter:
            chapter = name.split('.')[:2]
            lines += ['', '## %s' % '.'.join(chapter)[len('MQTT-'):], '', '| statement | binds | about | tests |', '|---|---|---|---|']
        proof = evidence(clause, tests, cases) or 'none: ' + (reason or '**no reason yet**')
        lines.append('| %s | %s | %s | %s |' % (name, binds, text, proof))
    return '\n'.join(lines) + '\n'


def main(arguments):
    if arguments not in ([], ['--write']):
        print('usage: tests/lint/clauses.py [--write]', file=sys.stderr)
        return 2
    write, ids = bool(arguments), read_ids()
    tests, cases, problems = collect(ids)
    pages = {'mqtt-tls.md': clause_page({i: r for i, r in ids.items() if ':' not in i}, tests, cases)}
    for standard in STANDARDS:
        pages[standard[2]] = mqtt_page(standard, ids, tests, cases)
    for name, page in pages.items():
        path = os.path.join(FOLDER, name)
        if write:
            with open(path, 'w', encoding='utf-8') as f:
                f.write(page)
        elif not os.path.exists(path) or open(path, encoding='utf-8').read() != page:
            problems.append('docs/conformance/%s is not what the tests say now: run tests/lint/clauses.py --write' % name)
    proved = {i for i in ids if i in tests or i in cases}
    problems += ['%s: neither a test nor a reason in docs/conformance/%s' % (i.split(':')[-1], list_of(i)) for i in ids
                 if i not in proved and not ids[i][0]]
    problems += ['%s: tested, so the reason in docs/conformance/%s is out of date' % (i.split(':')[-1], list_of(i)) for i in ids
                 if i in proved and ids[i][0]]
    problems += ['%s: binds the %s, and no test of the %s names it' % (i.split(':')[-1], ids[i][2], ids[i][2]) for i in ids
                 if ids[i][2] in SIDES and i in tests and i not in cases and
                 not any(file.startswith(SIDES[ids[i][2]]) for file in tests[i])]
    print('\n'.join(problems) if problems else 'clauses: ' + ', '.join(
        '%s %d of %d tested' % (name, sum(1 for i in proved if fits(i)), sum(1 for i in ids if fits(i)))
        for name, fits in [('ACE', lambda i: ':' not in i)] + [
            (s[3], lambda i, p=s[0]: i.startswith(p)) for s in STANDARDS]))
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
