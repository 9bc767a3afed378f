"""man_check.py SYMBOLON MAN-PAGE BENCH-PAGE DOCTOR-PAGE STORE-PAGE: every option that --help shows stands in the manual page (of bench,
doctor and broker store in their own, or in the main one they refer to), and every exit status."""
import re
import subprocess
import sys

symbolon, *pages = sys.argv[1:]
text, bench, doctor, store = (open(page, encoding='utf-8').read() for page in pages)
words = {page: set(re.findall(r'(?<=[ ,])-([a-z][a-z0-9-]*)', page)) | set(re.findall(r'Fl -([a-z][a-z0-9-]*)', page))
         for page in (text, text + bench, text + doctor, text + store)}
missing = []
for command in (['pub'], ['sub'], ['rr'], ['enroll'], ['key', 'new'], ['key', 'show'], ['token', 'get'],
                ['token', 'show'], ['token', 'inspect'], ['as', 'rs', 'add'], ['broker', 'clients'], ['broker', 'unban'], ['conformance', 'broker'],
                ['conformance', 'as'], ['conformance', 'setup'], *(['bench', scenario] for scenario in ('conn', 'p2p', 'fan-in', 'fan-out', 'pub', 'sub', 'wildcards',
                                                               'retained', 'churn', 'renew')),
                 ['doctor'], ['broker', 'store', 'check'],
                ['broker', 'store', 'stats'], ['broker', 'store', 'export']):
    page = text + {'bench': bench, 'doctor': doctor, 'broker': store}.get(command[0], '')
    shown = subprocess.run([symbolon, *command, '--help'], check=True, capture_output=True, text=True).stdout
    for line in shown.splitlines():
        option = re.match(r'  (?:-(\w), | {4})--([a-z0-9-]+)', line)
        if option and option.group(2) not in words[page]:
            missing.append(' '.join(command) + ' --' + option.group(2))
codes = subprocess.run([symbolon, 'exit-codes'], check=True, capture_output=True, text=True).stdout
for code in re.findall(r'^ *(\d+)  ', codes, re.M):
    if not re.search(r'^\.It %s$' % code, text, re.M):
        missing.append('exit status ' + code)
if missing:
    sys.exit('not in the manual page: ' + ', '.join(missing))
