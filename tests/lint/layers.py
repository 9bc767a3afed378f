#!/usr/bin/python3
"""Who may lean on whom: every #include in src/ against the table below, which is the project's first diagram.

A module uses only the modules its row names, and each third-party library comes in through one door. The pure rows
open no socket, read no clock and start no thread; in `shard` and `as` only the files named in WORLD may.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

LAYERS = {
    # module     may use
    'base': '',
    'crypto': 'base',
    'codec': 'base',
    'jose': 'base crypto codec',
    'cose': 'base crypto codec',
    'mqtt': 'base',
    'scope': 'base codec mqtt',
    'token': 'base crypto codec jose cose mqtt scope',
    'net': 'base crypto',
    'store': 'base',
    'client': 'base crypto codec jose cose mqtt scope token net store',
    'bridge': 'base crypto codec mqtt scope token net client',
    'record': 'base mqtt store',
    'topic': 'base mqtt',
    'shard': 'base crypto codec jose mqtt scope token store record topic',
    'broker': 'base crypto codec jose cose mqtt scope token net store bridge record topic shard',
    'as': 'base crypto codec jose cose mqtt scope token net store',
    'kit': 'base crypto codec jose cose mqtt scope token net client',
    'load': 'base crypto codec mqtt token net',
    'cli': 'base crypto codec jose cose mqtt scope token net store client kit load record',
}

DOORS = {
    # header prefix    files that may include it
    'cyaml/': r'base/config_(yaml|doc_test)\.c',
    'gnutls/': r'(crypto|net)/.*',
    'nettle/': r'crypto/(keywrap|secret|edge_test)\.c',
    'sodium.h': r'crypto/(ed25519|edge_test)\.c',
    'openssl/': r'crypto/p256(_memory_test)?\.c',
    'jansson.h': r'codec/.*',
    'cbor.h': r'codec/.*',
    'uv.h': r'net/.*',
    'wslay/': r'net/.*',
    'curl/': r'net/.*',
    'arpa/inet.h': r'net/.*|crypto/x509\.c|.*_test\.c',  # crypto/x509.c: addresses in certificates
    'sqlite3.h': r'store/.*',
    'lmdb.h': r'store/.*',
    'systemd/': r'broker/main\.c',
    'cmocka.h': r'.*(_test|_world)\.[ch]|.*/test_\w+\.[ch]',
}

SYSTEM = set('''assert.h ctype.h dirent.h endian.h errno.h fcntl.h float.h fnmatch.h getopt.h glob.h grp.h inttypes.h libgen.h limits.h
    locale.h malloc.h math.h pwd.h setjmp.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h
    stdlib.h string.h strings.h sys/file.h sys/mman.h sys/param.h sys/prctl.h sys/random.h sys/resource.h sys/stat.h sys/statvfs.h sys/syscall.h
    sys/types.h sys/uio.h sys/wait.h termios.h time.h unistd.h sys/time.h'''.split())
# Sockets, event queues and threads: the modules that do I/O, the daemons' world files, and tests.
WORLDLY = set('''netdb.h net/if.h netinet/in.h netinet/tcp.h poll.h pthread.h sched.h semaphore.h
    sys/epoll.h sys/eventfd.h sys/signalfd.h sys/ioctl.h sys/select.h sys/socket.h sys/timerfd.h sys/un.h threads.h'''.split())
PURE = set('base crypto codec jose cose mqtt scope token record topic'.split())
WORLD = {
    'shard': r'token_store[a-z_]*\.[ch]',  # the one lock: what all workers know of tokens
    'as': r'(main|http|held|backup|restore|init|certificate|admin_socket|serve|server|listen|settings|signer_local|waiting)[a-z_]*\.[ch]',
}
CLOCKS = re.compile(r'\b(clock_gettime|gettimeofday|time\s*\(\s*NULL\s*\)|now_read)\b')


def sources():
    for folder, names, files in os.walk(os.path.join(ROOT, 'src')):
        names.sort()
        for name in sorted(files):
            if name.endswith(('.c', '.h')):
                yield os.path.join(folder, name)


def check_own(module, file, header):
    if header.startswith('symbolon/'):
        return None if module in ('client', 'cli', 'bridge') or file.endswith('_test.c') else 'only client and cli use it'
    other = header.split('/')[0]
    if '/' not in header:
        return 'include by path: "%s/%s"' % (module, header)
    if other == 'support' and re.search(r'(_test\.c|_test\.h|/fixture\w*\.[ch])$', file):
        return None  # tests/support/
    if other not in LAYERS:
        return 'no such module'
    if other != module and other not in LAYERS[module].split():
        return '%s may use only: %s' % (module, LAYERS[module] or 'nothing')
    if other != module and header.endswith('_priv.h') and not file.endswith('_test.c'):
        return 'private to ' + other
    if other in ('net', 'bridge') and module in WORLD and not is_world(module, file):
        return 'the core of %s does no I/O' % module
    return None


def is_world(module, file):
    name = file.split('/', 1)[1]
    return name.endswith('_test.c') or re.fullmatch(WORLD[module], name) is not None


def check_foreign(module, file, header):
    for prefix, door in DOORS.items():
        if header.startswith(prefix):
            return None if re.fullmatch(door, file) else 'comes in only through ' + door
    if header.startswith('symbolon/'):
        return check_own(module, file, header)
    if header in SYSTEM:
        return None
    if header in WORLDLY:
        if file.endswith('_test.c'):
            return None
        if module in PURE or module in WORLD and not is_world(module, file):
            return 'pure code opens no socket and starts no thread'
        return None
    return 'unknown header: add it to tests/lint/layers.py'


def main():
    problems, files = [], 0
    for path in sources():
        file = os.path.relpath(path, os.path.join(ROOT, 'src')).replace(os.sep, '/')
        module = file.split('/')[0]
        files += 1
        if module not in LAYERS:
            problems.append('%s: no row in the layer table' % file)
            continue
        text = open(path, encoding='utf-8').read()
        for number, line in enumerate(text.splitlines(), 1):
            own, foreign = re.match(r'\s*#\s*include\s*"([^"]+)"', line), re.match(r'\s*#\s*include\s*<([^>]+)>', line)
            said = (check_own(module, file, own[1]) if own else
                    check_foreign(module, file, foreign[1]) if foreign else None)
            pure = module in PURE and module != 'base' or module in WORLD and not is_world(module, file)
            if said is None and pure and not file.endswith('_test.c') and CLOCKS.search(line.split('/*')[0]):
                said = 'time comes in as an argument'
            if said is not None:
                problems.append('src/%s:%d: %s: %s' % (file, number, line.strip(), said))
        if file.endswith('.h') and 'SYMBOLON_' + re.sub(r'[^A-Z0-9]', '_', file.upper()) not in text:
            problems.append('src/%s: no include guard of the usual name' % file)
    print('\n'.join(problems) if problems else 'layers: %d files keep to the table' % files)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
