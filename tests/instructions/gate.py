"""What tests/instructions/run knows: reading callgrind's profiles, and holding counts against those that are stored."""
import collections
import re

LIMIT_PERCENT = 3
FIGURES = ('instructions', 'allocations', 'crypto_calls')

# Not counted, only how often ours calls into them: what they do differs with the processor, and is theirs.
CRYPTO = re.compile(r'/lib(gnutls|nettle|hogweed|gmp|p11-kit|tasn1|sodium|crypto)\.so')
# The scenarios themselves.
DRIVER = re.compile(r'(^|/)(tests/instructions|bench)/[a-z_]+\.[ch]$')
ALLOCATORS = {'malloc', 'calloc', 'realloc', 'reallocarray', 'aligned_alloc', 'posix_memalign'}


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
        counts['d1_misses'] = of(('counted', 'D1mr'), ('counted', 'D1mw'))
        counts['l2_misses'] = of(('counted', 'DLmr'), ('counted', 'DLmw'), ('counted', 'ILmr'))
    return counts


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
