"""What tests/instructions/run knows: reading callgrind's profiles, and holding counts against those that are stored."""
import collections
import os
import re
import subprocess
import sys
import tempfile

LIMIT_PERCENT = 3
FIGURES = ('instructions', 'allocations', 'crypto_calls')

# Not counted, only how often ours calls into them: what they do differs with the processor, and is theirs.
CRYPTO = re.compile(r'/lib(gnutls|nettle|hogweed|gmp|p11-kit|tasn1|sodium|crypto)\.so')
# The scenarios themselves.
DRIVER = re.compile(r'(^|/)(tests/instructions|bench/core)/[a-z_]+\.[ch]$')
ALLOCATORS = {'malloc', 'calloc', 'realloc', 'reallocarray', 'aligned_alloc', 'posix_memalign'}


# The same addresses (no randomization, an environment of a fixed size), and of each function of the C library the one that
# every x86-64 processor can run.
FIXED = ['setarch', '-R', 'env', '-i', 'PATH=/usr/bin:/bin', 'LD_BIND_NOW=1',
         'GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2,-AVX_Fast_Unaligned_Load']
CALLGRIND = ['valgrind', '-q', '--tool=callgrind', '--instr-atstart=no', '--compress-strings=no', '--compress-pos=no']
CACHES = ['--cache-sim=yes', '--I1=32768,8,64', '--D1=32768,8,64', '--LL=1048576,16,64']


def read_profile(lines):
    """Sums of a callgrind profile that was written without compression of names and positions, by name; the events of
    --cache-sim stand for themselves."""
    sums, events = collections.Counter(), []
    obj = file = function = called = called_obj = ''
    kind, skip = 'counted', False
    for line in lines:
        key, equals, value = line.rstrip('\n').partition('=')
        if line.startswith('events:'):
            events = line.split()[1:]
        elif line[:1].isdigit():
            if not skip:
                for event, number in zip(events, line.split()[1:]):
                    sums[kind, event] += int(number)
                if kind == 'counted':
                    sums['function', function] += int(line.split()[1])
            skip = False
        elif not equals:
            continue
        elif key == 'ob':
            obj = called_obj = value
        elif key in ('fl', 'fi', 'fe'):
            file = value
        elif key == 'fn':
            function, called_obj = value, obj
            kind = 'crypto' if CRYPTO.search(obj) else 'driver' if DRIVER.search(file) else 'counted'
        elif key == 'cob':
            called_obj = value
        elif key == 'cfn':
            called = value
        elif key == 'calls':
            calls, skip = int(value.split()[0]), True
            if kind == 'counted' and CRYPTO.search(called_obj):
                sums['crypto_calls'] += calls
            if kind == 'counted' and called.split('@')[0] in ALLOCATORS and function not in ALLOCATORS and 'libc.so' not in obj:
                sums['allocations'] += calls
            called_obj = obj
    return sums


def per_operation(short, long, operations):
    """What one operation costs: `long` did `operations` more than `short`."""
    def of(*keys):
        return round(sum(long[key] - short[key] for key in keys) / operations, 1)

    counts = {'instructions': of(('counted', 'Ir')), 'allocations': of('allocations'), 'crypto_calls': of('crypto_calls'),
              'crypto_instructions': of(('crypto', 'Ir'))}
    if any(event == 'D1mr' for _, event in [k for k in long if isinstance(k, tuple)]):
        # (Of few misses, a later run may have fewer than the one before.)
        counts['d1_misses'] = max(0.0, of(('counted', 'D1mr'), ('counted', 'D1mw')))
        counts['l2_misses'] = max(0.0, of(('counted', 'DLmr'), ('counted', 'DLmw'), ('counted', 'ILmr')))
    return counts


def profiles(program, arguments, extra=()):
    """One run of `program` (scenario.h says what it does) under callgrind: what was counted of n operations, and of 2n."""
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, 'profile')
        done = subprocess.run([*FIXED, *CALLGRIND, *extra, '--callgrind-out-file=' + out, './' + os.path.basename(program), *arguments],
                              cwd=os.path.dirname(program), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.exit('%s: %s' % (' '.join(arguments), done.stdout))
        both = []
        for part in ('.1', '.2'):
            with open(out + part, encoding='utf-8', errors='replace') as file:
                both.append(read_profile(file))
        return both


def count(program, arguments, operations, extra=()):
    return per_operation(*profiles(program, arguments, extra), operations)


def functions(short, long, operations):
    """[(instructions of an operation in this function by itself, its name)], the dearest first."""
    found = [((long[key] - short[key]) / operations, key[1]) for key in long if key[0] == 'function']
    return sorted((f for f in found if f[0] > 0), reverse=True)


def percent(was, now):
    return 0.0 if was == now else float('inf') if was == 0 else 100.0 * (now - was) / was


def shown(was, now):
    more = percent(was, now)
    return '%g -> %g%s' % (was, now, '' if more == float('inf') else ' (%+.1f %%)' % more)


def compare(stored, counted, limit=LIMIT_PERCENT):
    """(complaints, hints): what has become dearer than the limit allows, or is not stored; what has become cheaper by more
    than that, so that the stored figure guards nothing any more."""
    complaints, hints = [], []
    for name, now in counted.items():
        if name not in stored:
            complaints.append('%s: nothing is stored for it' % name)
            continue
        for figure in FIGURES:
            more = percent(stored[name][figure], now[figure])
            text = '%s: %s %s' % (name, figure.replace('_', ' '), shown(stored[name][figure], now[figure]))
            if more > limit:
                complaints.append(text)
            elif more < -limit:
                hints.append(text)
    return complaints, hints


def changes(stored, counted):
    """One line for each figure that is not what was stored, by more than chance."""
    lines = []
    for name, now in counted.items():
        if name not in stored:
            lines.append('%s: new, %g instructions' % (name, now['instructions']))
            continue
        for figure in FIGURES:
            if abs(percent(stored[name][figure], now[figure])) >= 0.5:
                lines.append('%s: %s %s' % (name, figure.replace('_', ' '), shown(stored[name][figure], now[figure])))
    return lines
