#!/usr/bin/python3
"""What no file of ours may hold: functions without bounds, cleanups of what was never set, tabs, trailing blanks, paths of
one machine, notes to self."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ('src', 'include', 'tests', 'bench', 'tools', 'docs', 'examples', 'deploy', '.ci')
SKIP = {'node_modules', '__pycache__', 'build', 'corpus', '.pytest_cache'}
BINARY = ('.png', '.pcapng', '.der', '.bin', '.gz', '.db')

FUNCTIONS = re.compile(r'(?<![\w.>])(strtok|strtok_r|atoi|atol|atoll|atof|sscanf|vsscanf|scanf|strcpy|stpcpy|strcat|'
                       r'strncat|sprintf|vsprintf|gets|alloca|strncpy|tmpnam|mktemp|system|popen|rand|srand|'
                       r'gmtime|localtime|asctime|ctime|strerror_r|setjmp|longjmp)\s*\(')
NOTES = re.compile(r'\b(' + '|'.join(('TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK')) + r')\b')
MACHINE = re.compile(r'(?<![\w.])(/work/|/home/(?!u/)[a-z]\w*/|/root/|/Users/)')


CLEANUP = re.compile(r'\bCLEANUP\(\w+\)\s*(?:const )?(?:struct |enum )?\w+ ([^;]*);')


def files():
    for name in sorted(os.listdir(ROOT)):
        if os.path.isfile(os.path.join(ROOT, name)) and name != 'LICENSE':
            yield name
    for top in FOLDERS:
        for folder, names, found in os.walk(os.path.join(ROOT, top)):
            names[:] = sorted(n for n in names if n not in SKIP)
            for name in sorted(found):
                if not name.endswith(BINARY):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def strip_comments(text):
    """Comments and string contents become blanks of the same shape, so that line numbers stay."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: re.sub(r'[^\n]', ' ', m[0]), text, flags=re.S)


def unset_cleanups(text):
    """Line and name of each CLEANUP variable that a return may reach before anything has set it: compilers do not say."""
    for match in CLEANUP.finditer(text):
        body = text[match.end():text.find('\n}\n', match.end())]
        first_return = re.search(r'\breturn\b', body)
        declarators = re.sub(r'\([^()]*\)|\{[^{}]*\}', '', re.sub(r'\([^()]*\)', '', match[1]))
        for declared in declarators.split(','):
            name = declared.strip().lstrip('*')
            if '=' in declared or not name.isidentifier():
                continue
            first_set = re.search(r'&%s\b|\b%s\s*=' % (name, name), body)
            if first_set is None or first_return is not None and first_return.start() < first_set.start():
                yield text.count('\n', 0, match.start()) + 1, name


def check(file):
    raw = open(os.path.join(ROOT, file), 'rb').read()
    try:
        text = raw.decode('utf-8')
    except UnicodeDecodeError:
        return ['%s: not UTF-8' % file]
    found = []
    tabs_allowed = file == 'Makefile' or file.endswith('.1') or file.endswith('.8') or file == 'package-lock.json'
    code = strip_comments(text).split('\n') if file.endswith(('.c', '.h')) else []
    found += ['%s:%d: %s may be cleaned up before it is set' % (file, n, name) for n, name in unset_cleanups('\n'.join(code))]
    for number, line in enumerate(text.split('\n'), 1):
        where = '%s:%d: ' % (file, number)
        if '\t' in line and not tabs_allowed:
            found.append(where + 'tab')
        if line != line.rstrip():
            found.append(where + 'trailing blank')
        if NOTES.search(line):
            found.append(where + 'note to self: do it or file it')
        if MACHINE.search(line) and file != 'tests/lint/banned.py':
            found.append(where + 'path of one machine')
        if code and FUNCTIONS.search(code[number - 1]):
            found.append(where + FUNCTIONS.search(code[number - 1])[1] + '() is banned')
    if raw and not raw.endswith(b'\n'):
        found.append('%s: no newline at the end' % file)
    return found


def main():
    problems, count = [], 0
    for file in files():
        count += 1
        problems += check(file)
    print('\n'.join(problems) if problems else 'banned: %d files hold nothing of it' % count)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
