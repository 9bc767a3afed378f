#!/usr/bin/python3
"""docs/operate/events.md names every event that is logged and every counter, and none besides."""
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = 'docs/operate/events.md'
LOGS = re.compile(r'\b(\w+)\([^;{}()]*\bconst char \*event\b')  # functions that are given the name of an event
NAME = re.compile(r'"([a-z][a-z0-9_]*)"')


def arguments(text, at):
    """What stands between the parentheses that open at `at`, without what is nested in parentheses or braces."""
    depth, out = 0, []
    for piece in re.finditer(r'"(?:\\.|[^"\\])*"|[(){}]|[^"(){}]+', text[at:]):
        depth += piece[0] in '({'
        depth -= piece[0] in ')}'
        if depth == 0:
            break
        if depth == 1:
            out.append(piece[0])
    return ''.join(out)


def sources():
    for path in sorted(glob.glob(os.path.join(ROOT, 'src', '*', '*.[ch]'))):
        if not re.search(r'_(test|fuzz)\.c$', path):
            yield re.sub(r'/\*.*?\*/', '', open(path, encoding='utf-8').read(), flags=re.S)


def logged():
    texts = list(sources())
    functions = {'log_event'}.union(*(LOGS.findall(text) for text in texts))
    calls = re.compile(r'\b(?:%s)(?=\()' % '|'.join(functions))
    kept = re.compile(r'\.event = "(\w+)"')  # said later, by who holds it
    return {name for text in texts for call in calls.finditer(text)
            for name in NAME.findall(arguments(text, call.end()))}.union(*(kept.findall(text) for text in texts))


def rows(text):
    """The names that open a row of a table: `a`, `b` | ..."""
    return {name for row in re.findall(r'^\| ((?:`\w+`(?:, )?)+) \|', text, re.M)
            for name in re.findall(r'`(\w+)`', row)}


def main():
    events, _, counters = open(os.path.join(ROOT, PAGE), encoding='utf-8').read().partition('\n## Statistics\n')
    stats = open(os.path.join(ROOT, 'src', 'shard', 'stats.h'), encoding='utf-8').read()
    counted = set(re.findall(r'^ +X\( (\w+),', stats, re.M)) | {'refusals'}
    problems = []
    for what, said, is_so in (('event', rows(events), logged()), ('counter', rows(counters), counted)):
        problems += ['%s: the %s %s is missing' % (PAGE, what, name) for name in sorted(is_so - said)]
        problems += ['%s: there is no %s %s' % (PAGE, what, name) for name in sorted(said - is_so)]
    print('\n'.join(problems) if problems else 'events: %s names them all' % PAGE)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
