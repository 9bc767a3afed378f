"""check.py SYMBOLON SYMBOLON-BROKER SYMBOLON-AS: what --help shows stands in the manual pages here, and nothing else does.

Every command, as --help lists them, is asked in turn. Its options stand in its page, or in symbolon(1), which the other pages
refer to; every option of a page is one of the commands it is about. So do exit statuses, and the options of the daemons. And
what the pages in Markdown show to be typed are commands and options there are.
"""
import glob
import os
import re
import shlex
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MAIN = 'symbolon.1'
PAGES = {('bench',): 'symbolon-bench.1', ('doctor',): 'symbolon-doctor.1', ('broker', 'store'): 'symbolon-broker-store.1'}


def page(name):
    with open(os.path.join(HERE, name), encoding='utf-8') as f:
        return f.read()


def shown(program, *words):
    return subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout


def options_of_page(text):
    """Long options: `Fl t , -topic` in the pages in mdoc, `\\-\\-ports\\-file` in those in plain man."""
    text = re.sub(r'symbolon as [^.;)\n]*', '', text)  # in the page of the server: a command with a page of its own
    text = text.replace('\\\n', '')
    flags = ' '.join(re.findall(r'^\..*?\bFl (.*)', text, re.M))
    return set(re.findall(r'(?:^|[ ,])-([a-z][a-z0-9-]+)', flags)) | {o.replace('\\', '') for o in re.findall(r'\\-\\-([a-z](?:[a-z0-9]|\\-)*)', text)}


def commands(program, *words):
    """All below `words`, each with its options: {(word, ...): {option, ...}}"""
    text = shown(program, *words, '--help')
    found = {words: set(re.findall(r'^  (?:-\w, | {4})--([a-z0-9-]+)', text, re.M)) | set(re.findall(r'\[--([a-z0-9-]+)', text.split('\n\n')[0]))}
    if 'COMMAND --help" says more' in text:
        for name in re.findall(r'^  ([a-z][a-z0-9-]*(?: [a-z][a-z0-9-]*)?)  +\S', text, re.M):
            if (*words, name) not in (('exit-codes',), ('version',)):
                found |= commands(program, *words, *name.split())
    return found


def typed():
    """(where, word, ...) of each call of `symbolon` in a block of code."""
    root = os.path.dirname(os.path.dirname(HERE))
    found = []
    for top in ('', 'docs', 'examples', 'deploy', 'tests', 'bench'):
        for name in sorted(glob.glob(os.path.join(root, top, '**' if top else '', '*.md'), recursive=True)):
            with open(name, encoding='utf-8') as f:
                blocks = re.findall(r'^```(?:sh|console)\n(.*?)^```', f.read(), re.M | re.S)
            for line in re.findall(r'^(?:\$ )?symbolon (.*)', ''.join(blocks).replace('\\\n', ' '), re.M):
                if not re.match(r'\w+: ', line):  # what it says
                    found.append((os.path.relpath(name, root), *shlex.split(re.sub(r'[|>&].*', '', line), comments=True)))
    return sorted(set(found))


def check_typed(known):
    problems = []
    for where, *words in typed():
        command, begun = (), True
        for word in words:
            if word.startswith('--'):
                if not any(word[2:].partition('=')[0] in known.get(command[:n], ()) for n in range(len(command) + 1)):
                    problems.append('%s: symbolon %s has no %s' % (where, ' '.join(command), word))
            elif begun and any((*command, word) == other[:len(command) + 1] for other in known):
                command = (*command, word)
            begun = command not in known or any(other[:len(command)] == command != other for other in known)
        if command not in known:
            problems.append('%s: there is no symbolon %s' % (where, ' '.join(words)))
    return problems


def page_of(words):
    return next((name for prefix, name in PAGES.items() if words[:len(prefix)] == prefix), MAIN)


def check_command(program, known_commands):
    problems, by_page = [], {}
    main = options_of_page(page(MAIN))
    for words, options in known_commands.items():
        name = page_of(words)
        by_page.setdefault(name, set()).update(options)
        known = main | options_of_page(page(name))
        problems += ['%s: %s --%s is missing' % (name, ' '.join(words), option) for option in sorted(options - known)]
    everywhere = set().union(*by_page.values()) | {'help', 'version'}
    for name in (MAIN, *PAGES.values()):
        problems += ['%s: no command has --%s' % (name, option) for option in sorted(options_of_page(page(name)) - everywhere)]
    for code in re.findall(r'^ *(\d+)  ', shown(program, 'exit-codes'), re.M):
        if not re.search(r'^\.It %s$' % code, page(MAIN), re.M):
            problems.append('%s: exit status %s is missing' % (MAIN, code))
    return problems


def check_daemon(program, name):
    told, text = set(re.findall(r'--([a-z][a-z-]*)', shown(program, '--help'))), page(name)
    written = options_of_page(text)
    return ['%s: --%s is missing' % (name, option) for option in sorted(told - written)] + \
        ['%s: there is no --%s' % (name, option) for option in sorted(written - told)]


def main(symbolon, broker, server):
    known = commands(symbolon)
    problems = check_command(symbolon, known) + check_typed(known) + check_daemon(broker, 'symbolon-broker.8') + check_daemon(server, 'symbolon-as.8')
    if problems:
        sys.exit('\n'.join(problems))
    print('%d commands are as their pages say, %d examples can be typed' % (len(known), len(typed())))


if __name__ == '__main__':
    main(*sys.argv[1:])
