#!/usr/bin/python3
"""Every relative link of every page leads to a file, and to a heading of it if it names one; every path of ours in backquotes is one."""
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIP = {'.git', 'build', 'node_modules', '.pytest_cache'}
LINK = re.compile(r'(?<!!)\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*\]\(([^()\s]+)\)|!\[[^\]]*\]\(([^()\s]+)\)')
PATH = re.compile(r'`((?:src|include|tests|bench|tools|docs|deploy|examples|\.ci)/[\w./*{},-]*)`')


def pages():
    for folder, names, files in os.walk(ROOT):
        names[:] = sorted(n for n in names if n not in SKIP and not n.startswith('build-'))
        for name in sorted(files):
            if name.endswith('.md'):
                yield os.path.join(folder, name)


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def without_code(text):
    """Code may hold brackets; lines stay where they are."""
    text = re.sub(r'^(```|~~~).*?^\1', lambda m: re.sub(r'[^\n]', '', m[0]), text, flags=re.M | re.S)
    return re.sub(r'`[^`\n]*`', '', text)


def anchors(path):
    """Of the headings, as GitHub makes them: lower case, no punctuation, a dash for each blank; and what has an id."""
    found, times = set(re.findall(r'<a (?:id|name)="([^"]+)"', read(path))), {}
    for heading in re.findall(r'^#{1,6} +(.*?) *#*$', re.sub(r'^(```|~~~).*?^\1', '', read(path), flags=re.M | re.S), re.M):
        heading = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading)
        name = re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-')
        found.add(name + ('-%d' % times[name] if name in times else ''))
        times[name] = times.get(name, 0) + 1
    return found


def exists(pattern):
    if '{' in pattern:
        head, _, rest = pattern.partition('{')
        choices, _, tail = rest.partition('}')
        return all(exists(head + choice + tail) for choice in choices.split(','))
    return bool(glob.glob(os.path.join(ROOT, pattern))) if '*' in pattern else os.path.exists(os.path.join(ROOT, pattern))


def wrong_link(page, target):
    file, _, anchor = target.partition('#')
    path = os.path.normpath(os.path.join(os.path.dirname(page), file)) if file else page
    if not path.startswith(ROOT):
        return 'leads out of the tree'
    if not os.path.exists(path):
        return 'leads nowhere'
    if anchor and path.endswith('.md') and anchor not in anchors(path):
        return 'there is no such heading'
    return None


def main():
    problems, links, paths = [], 0, 0
    for page in pages():
        text, name = read(page), os.path.relpath(page, ROOT)
        for number, line in enumerate(without_code(text).split('\n'), 1):
            for match in LINK.finditer(line):
                target = match[1] or match[2]
                if re.match(r'[a-z]+:', target):
                    continue
                links += 1
                wrong = wrong_link(page, target)
                if wrong:
                    problems.append('%s:%d: (%s) %s' % (name, number, target, wrong))
        for number, line in enumerate(text.split('\n'), 1):
            for path in PATH.findall(line):
                if 'NAME' in path:
                    continue
                paths += 1
                if not exists(path) and not os.path.exists(os.path.join(os.path.dirname(page), path)):
                    problems.append('%s:%d: there is no %s' % (name, number, path))
    print('\n'.join(problems) if problems else 'links: %d links and %d paths of the pages lead somewhere' % (links, paths))
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
