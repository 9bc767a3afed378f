"""An authorization server is copied while it works, dies, and goes on elsewhere (docs/operate/authorization-server.md)."""
import base64
import os
import sqlite3
import stat
import subprocess
import threading

import pytest
from world import WAIT, As, program

AUDIENCE = 'broker.example'


class Restored(As):
    """The server of a folder that is there already."""

    def __init__(self, folder):  # pylint: disable=super-init-not-called
        self.dir = str(folder)
        self.config, self.ca, self.socket_path = (os.path.join(self.dir, n) for n in ('as.yaml', 'ca.pem', 'admin.sock'))
        self.start()


def run(*words):
    return subprocess.run([program('symbolon-as'), *map(str, words)], capture_output=True, text=True, timeout=2 * WAIT)


def backup(server, path):
    done = run('backup', server.dir, path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def restore(*words):
    done = run('restore', *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(name='server')
def fixture_server(tmp_path):
    server = As(str(tmp_path))
    server.rs = server.add_rs('refs.example', token_format='reference')
    server.add_rs(AUDIENCE, key='generate')
    server.exi = server.add_rs('exi.example', token_format='cwt', exi=True, lifetime_s=600, key='generate')
    for audience in (AUDIENCE, 'refs.example', 'exi.example'):
        server.allow('any', audience, 'a/#', 'pub', 'sub')
    yield server
    server.daemon.kill()


def active(server, rs, token):
    return server.post_form('/introspect', {'token': token}, user=rs).json['active']


def exi_sequence(folder):
    with sqlite3.connect('file:%s/as.db?mode=ro' % folder, uri=True) as db:
        return db.execute("SELECT exi_sequence FROM resource_server WHERE id = 'exi.example'").fetchone()[0]


def test_a_backup_under_load_is_a_server_again(server, tmp_path):
    client = server.add_client('c', refresh=True)
    before = [server.token(client, 'refs.example') for _ in range(4)]
    gone = server.token(client, 'refs.example')['access_token']
    server.post_form('/revoke', {'token': gone}, user=client)
    server.admin('keys.rotate')
    server.token(client, 'exi.example')
    keys, end, made = server.request('GET', '/jwks.json').json, threading.Event(), []

    def load():
        while not end.is_set():
            made.append(server.token(client, 'refs.example')['access_token'])

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    path = tmp_path / 'backup'
    for _ in range(3):  # over the older one
        said = backup(server, path)
    end.set()
    for thread in threads:
        thread.join()
    assert '2 signing keys' in said and 'not in it' not in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and sorted(os.listdir(tmp_path)) == ['as', 'backup']
    late = server.token(client, 'refs.example')['access_token']
    given_out = exi_sequence(server.dir)
    server.daemon.kill()

    folder = tmp_path / 'second'
    said = restore(path, folder)
    assert 'Tokens issued since are not known' in said
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE((folder / n).stat().st_mode) == 0o600 for n in ('as.db', 'pop.key', 'server.key', 'ca.key', 'admin.credential'))
    again = Restored(folder)
    assert again.request('GET', '/jwks.json').json == keys
    assert all(active(again, server.rs, token['access_token']) for token in before)
    assert made and active(again, server.rs, made[0])
    assert not active(again, server.rs, gone) and not active(again, server.rs, late)
    assert again.token(client, 'refs.example')['access_token'] and again.token(client, AUDIENCE)
    again.token(client, 'exi.example')
    assert exi_sequence(folder) > given_out + 1000000
    turned = again.post_json('/token', dict(again.credentials(client), grant_type='refresh_token', refresh_token=before[0]['refresh_token']))
    assert turned.code == 200, turned
    entries = again.admin('audit.list', limit=1000)['entries']
    assert [e['event'] for e in entries][-1] == 'restore' and again.admin('audit.verify')['entries'] == len(entries)
    with sqlite3.connect('file:%s/as.db?mode=ro' % folder, uri=True) as db:
        assert not db.execute("SELECT name FROM sqlite_master WHERE name LIKE 'backup%'").fetchall()
    again.daemon.stop()


def test_readers_of_the_list_of_revoked_tokens_ask_for_all_of_it_again(server, tmp_path):
    """RFC 9770 8.2.3: a cursor of before the restore is not one of after it."""
    client = server.add_client('c')

    authorization = base64.b64encode(('%s:%s' % (server.rs.id, server.rs.secret)).encode()).decode()

    def trl(who, query=''):
        return who.request('GET', '/trl' + query, headers={'Authorization': 'Basic ' + authorization, 'Accept': 'application/ace-trl+json'})

    revoked = [server.token(client, 'refs.example')['access_token'] for _ in range(3)]
    server.post_form('/revoke', {'token': revoked[0]}, user=client)
    backup(server, tmp_path / 'backup')
    server.post_form('/revoke', {'token': revoked[1]}, user=client)
    old = trl(server)
    cursor = old.json['cursor']
    server.daemon.kill()
    restore(tmp_path / 'backup', tmp_path / 'second')
    again = Restored(tmp_path / 'second')
    diff = trl(again, '?diff=0&cursor=%d' % cursor).json
    assert diff['more'] is True and diff['diff_set'] == []
    full = trl(again)
    assert len(full.json['full_set']) == 1 and full.headers['etag'] != old.headers['etag']
    again.post_form('/revoke', {'token': revoked[2]}, user=client)
    diff = trl(again, '?diff=0&cursor=%d' % full.json['cursor']).json
    assert len(diff['diff_set']) == 1 and diff['more'] is False
    again.daemon.stop()


def test_what_is_there_is_not_overwritten(server, tmp_path):
    path = tmp_path / 'backup'
    backup(server, path)
    server.add_client('later')
    done = run('restore', path, server.dir)
    assert done.returncode == 1 and '--force' in done.stderr
    done = run('restore', '--force', path, server.dir)
    assert done.returncode == 1 and 'runs there' in done.stderr
    assert server.admin('client.show', client_id='later')['client']
    server.daemon.stop()
    (tmp_path / 'as' / 'pop.key').write_text('A' * 43, encoding='ascii')
    said = restore('--force', path, server.dir)
    aside = [n for n in os.listdir(server.dir) if '.replaced-' in n]
    assert any(n.startswith('as.db.') for n in aside) and any(n.startswith('pop.key.') for n in aside) and '.replaced-' in said
    server.start()
    assert server.admin_raw(b'{"cmd":"client.show","client_id":"later"}\n')['error'] == 'NOT_FOUND'


def test_what_is_no_whole_backup_is_refused(server, tmp_path):
    good, folder = tmp_path / 'backup', tmp_path / 'second'
    backup(server, good)
    content = good.read_bytes()

    def refused(change, words):
        bad = tmp_path / 'bad'
        bad.write_bytes(content)
        change(bad)
        done = run('restore', bad, folder)
        assert done.returncode == 1 and words in done.stderr, done
        assert not (folder / 'as.db').exists() and not list(folder.glob('as.db*')) if folder.exists() else True

    def sql(text):
        def change(path):
            with sqlite3.connect(path) as db:
                db.execute(text)
            db.close()
        return change

    refused(lambda p: p.write_bytes(content[:len(content) // 2]), 'damaged')
    refused(lambda p: p.write_bytes(b'no database'), 'no database')
    refused(lambda p: p.write_bytes(b''), 'no backup')
    refused(sql('DROP TABLE backup'), 'no backup')
    refused(sql("DELETE FROM backup_file WHERE name LIKE 'keys/%'"), 'signing key')
    refused(sql("DELETE FROM backup_file WHERE name = 'pop.key'"), 'pop.key')
    refused(sql("UPDATE backup_file SET name = '../evil' WHERE name = 'as.yaml'"), 'name')
    refused(sql("UPDATE backup_file SET name = 'keys/../x.pem' WHERE name = 'as.yaml'"), 'name')
    refused(sql("INSERT INTO schema_migration (number, name) VALUES (99, 'future')"), 'newer version')
    refused(lambda p: p.unlink(), 'cannot be read')
    assert not (tmp_path / 'evil').exists()
    assert run('backup', tmp_path, tmp_path / 'x').returncode == 1 and not (tmp_path / 'x').exists()
    assert run('backup', server.dir, '/dev/full/x').returncode == 1
    assert run('backup').returncode == 2 and run('restore', good).returncode == 2
    (tmp_path / 'as' / 'ca.key').unlink()
    assert 'not in it' in backup(server, good)


@pytest.mark.skipif(not os.path.exists('/dev/shm'), reason='no memory file system')
def test_a_full_disk_leaves_the_older_backup(server, tmp_path):
    path = tmp_path / 'backup'
    backup(server, path)
    content = path.read_bytes()
    done = subprocess.run(['sh', '-c', 'ulimit -f 100; trap "" XFSZ; exec "$@"', 'sh', program('symbolon-as'), 'backup', server.dir,
                           str(path)], capture_output=True, text=True, timeout=2 * WAIT)
    assert done.returncode == 1 and done.stderr, done
    assert path.read_bytes() == content and sorted(os.listdir(tmp_path)) == ['as', 'backup']
