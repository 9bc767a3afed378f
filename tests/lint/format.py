#!/usr/bin/python3
"""clang-format 14 owns the whitespace of C; bash and sh parse the scripts."""
import glob
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPTS = ('tools/*', '.ci/run', 'bench/run', 'examples/*/*.sh', 'deploy/*.sh')


def c_files():
    found = []
    for top in ('src', 'include', 'tests', 'bench'):
        for folder, names, files in os.walk(os.path.join(ROOT, top)):
            names[:] = [n for n in names if n not in ('node_modules', 'build')]
            found += [os.path.join(folder, f) for f in files if f.endswith(('.c', '.h'))]
    return sorted(found)


def check_scripts(problems):
    for pattern in SCRIPTS:
        for path in glob.glob(os.path.join(ROOT, pattern)):
            if not os.path.isfile(path):
                continue
            first = open(path, encoding='utf-8').readline()
            if 'python' in first or not first.startswith('#!'):
                continue
            shell = 'bash' if 'bash' in first else 'sh'
            done = subprocess.run([shell, '-n', path], capture_output=True, text=True)
            if done.returncode:
                problems.append(done.stderr.strip())


def main():
    tool, problems = shutil.which('clang-format-14') or shutil.which('clang-format'), []
    if tool is None:
        sys.exit('clang-format 14 is not installed')
    version = subprocess.run([tool, '--version'], capture_output=True, text=True).stdout
    if 'version 14.' not in version:
        sys.exit('clang-format 14 is needed, this is: ' + version.strip())
    files = c_files()
    done = subprocess.run([tool, '--dry-run', '-Werror', '--ferror-limit=1', *files], capture_output=True, text=True)
    if done.returncode:
        problems += sorted({line.split(':')[0] for line in done.stderr.splitlines() if 'clang-format-violations' in line})
        problems = ['%s: run clang-format -i' % os.path.relpath(p, ROOT) for p in problems]
    check_scripts(problems)
    print('\n'.join(problems) if problems else 'format: %d C files are formatted' % len(files))
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
