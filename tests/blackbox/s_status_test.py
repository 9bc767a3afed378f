"""The status of tokens: /trl (RFC 9770) of a real authorization server, with many brokers waiting at it, through its
restarts and its sudden ends, and by the operator's commands."""
import base64
import hashlib
import http.client
import json
import ssl
import threading
import time

import pytest
from world import WAIT, As, curl, run_cli, wait_for

SOON = 30  # seconds from the command's answer to the broker's; measured are milliseconds. Who is not told waits for 60
BROKERS = 50


def entry(token):
    return base64.urlsafe_b64encode(b'\1' + hashlib.sha256(token.encode()).digest()).rstrip(b'=').decode()


def basic(principal):
    return {'Authorization': 'Basic ' + base64.b64encode(('%s:%s' % (principal.id, principal.secret)).encode()).decode()}


def trl(server, principal, query='', **headers):
    return server.request('GET', '/trl' + query, headers=dict(basic(principal), **headers))


class Poll:
    """A request that waits, in a thread of its own: what was answered, and when."""

    def __init__(self, server, principal, query, wait=60, **headers):
        context = ssl.create_default_context(cafile=server.ca)
        self.connection = http.client.HTTPSConnection('localhost', server.port, context=context, timeout=3 * WAIT)
        self.connection.request('GET', '/trl' + query,
                                headers=dict(basic(principal), Prefer='wait=%d' % wait, **headers))
        self.code = self.json = self.at = self.applied = None
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            got = self.connection.getresponse()
            body = got.read()
            self.at, self.code, self.applied = time.monotonic(), got.status, got.getheader('Preference-Applied')
            self.json = json.loads(body) if body else None
        except (OSError, http.client.HTTPException):
            self.at = time.monotonic()

    def waits(self):
        return self.thread.is_alive()

    def result(self):
        self.thread.join(2 * WAIT)
        assert not self.waits(), 'no answer'
        return self

    def hang_up(self):
        try:
            self.connection.sock.shutdown(2)
        except OSError:
            pass
        self.connection.close()


@pytest.fixture(scope='module')
def site(as_server):
    as_server.brokers = [as_server.add_rs('rs%d' % i, token_format='reference') for i in range(BROKERS)]
    for rs in as_server.brokers:
        as_server.allow('any', rs.id, 'a/#', 'pub', 'sub')
    as_server.allow('group:guests', 'rs0', 'guests/#', 'pub', 'sub')
    as_server.one = as_server.add_client('one')
    return as_server


def last_jti(server, client):
    return max(server.admin('token.list', client_id=client, limit=1000)['tokens'], key=lambda t: t['issued_at'])['jti']


def introspect(server, rs, token):
    return server.post_form('/introspect', {'token': token}, user=rs).json


def cursor(server, principal):
    return trl(server, principal).json['cursor']


def query_after(server, principal):
    at = cursor(server, principal)
    return '?diff=0' if at is None else '?diff=0&cursor=%d' % at


def test_of_fifty_waiting_brokers_only_the_one_concerned_is_told_and_at_once(site):
    client = site.add_client('c7')
    token = site.token(client, 'rs7')['access_token']
    polls = [Poll(site, rs, '?diff=0') for rs in site.brokers]
    jti = last_jti(site, 'c7')
    assert site.admin('token.revoke', jti=jti)['tokens_revoked'] == 1
    answered = time.monotonic()
    told = polls[7].result()
    assert told.code == 200 and told.at - answered < SOON
    assert told.json == {'diff_set': [[[], [entry(token)]]], 'cursor': 0, 'more': False}
    assert told.applied == 'wait=60'
    assert [i for i, poll in enumerate(polls) if not poll.waits()] == [7]
    for poll in polls:
        poll.hang_up()
    # whoever hung up is gone: as many again may wait
    again = [Poll(site, rs, query_after(site, rs)) for rs in site.brokers]
    assert all(poll.waits() for poll in again)
    for poll in again:
        poll.hang_up()


def test_the_client_sees_its_own_tokens(site):
    client = site.add_client('own')
    tokens = [site.token(client, 'rs%d' % i)['access_token'] for i in range(3)]
    poll = Poll(site, client, '?diff=0')
    site.post_form('/revoke', {'token': tokens[1]}, user=client)
    assert poll.result().json['diff_set'] == [[[], [entry(tokens[1])]]]
    assert trl(site, client).json['full_set'] == [entry(tokens[1])]
    assert trl(site, site.one).json == {'full_set': [], 'cursor': None}


def test_what_was_revoked_is_listed_after_a_sudden_end(site):
    rs = site.brokers[3]
    client = site.add_client('sudden')
    token = site.token(client, rs.id)['access_token']
    query = query_after(site, rs)
    site.admin('token.revoke', client_id='sudden')
    site.daemon.kill()
    site.start()
    assert entry(token) in trl(site, rs).json['full_set']
    assert trl(site, rs, query).json['diff_set'] == [[[], [entry(token)]]]
    assert introspect(site, rs, token) == {'active': False}


def test_a_standing_request_goes_on_over_a_restart_and_nothing_is_lost(site):
    rs = site.brokers[4]
    client = site.add_client('restart')
    first, second = (site.token(client, rs.id)['access_token'] for _ in range(2))
    query = query_after(site, rs)
    standing = Poll(site, rs, query)
    site.daemon.stop()
    assert standing.result().json['diff_set'] == []  # answered before the end
    site.start()
    again = Poll(site, rs, query)
    site.post_form('/revoke', {'token': first}, user=client)
    told = again.result().json
    assert told['diff_set'] == [[[], [entry(first)]]]
    site.restart()
    site.post_form('/revoke', {'token': second}, user=client)
    assert trl(site, rs, '?diff=0&cursor=%d' % told['cursor']).json['diff_set'] == [[[], [entry(second)]]]


def test_a_policy_change_reaches_the_broker_and_narrows_the_token(site):
    rs = site.brokers[0]
    client = site.add_client('guest', groups=['guests'])
    token = site.token(client, rs.id)['access_token']
    poll = Poll(site, rs, query_after(site, rs))
    start = time.monotonic()
    assert site.admin('client.set', client_id='guest', groups=[])['tokens_changed'] == 1
    told = poll.result()
    assert told.at - start < SOON
    assert told.json['changed'] == [entry(token)] and told.json['diff_set'] == [[[], []]]
    assert 'guests' not in base64.urlsafe_b64decode(introspect(site, rs, token)['scope'] + '==').decode()
    full = Poll(site, rs, '', **{'If-None-Match': trl(site, rs).headers['etag']})
    denied = site.admin('policy.deny', subject='client:guest', audience=rs.id, filter='#', permissions=['pub', 'sub'])
    assert denied['tokens_revoked'] == 1
    told = full.result().json
    assert entry(token) in told['full_set'] and 'changed' not in told
    site.admin('policy.remove', id=denied['policy']['id'])
    assert introspect(site, rs, token) == {'active': False}  # a new one is needed


def test_time_is_up_without_news(site):
    start = time.monotonic()
    poll = Poll(site, site.brokers[9], '?diff=0', wait=1).result()
    assert poll.code == 200 and poll.json == {'diff_set': [], 'cursor': None, 'more': False}
    assert poll.at - start >= 1
    etag = trl(site, site.brokers[9]).headers['etag']
    poll = Poll(site, site.brokers[9], '', wait=1, **{'If-None-Match': etag}).result()
    assert poll.code == 304 and poll.json is None


def test_one_that_waits_too_often_is_told_to_come_again(site):
    rs = site.brokers[10]
    polls = [Poll(site, rs, '?diff=0') for _ in range(65)]
    try:
        wait_for(lambda: [poll.code for poll in polls if not poll.waits()] == [429])
        assert trl(site, rs, '?diff=0').code == 200  # asking without waiting still works
    finally:
        for poll in polls:
            poll.hang_up()


def test_clients_that_wait_leave_room_for_resource_servers(tmp_path):
    server = As(str(tmp_path), **{'https.max_connections': 40})
    try:
        rs, clients = server.add_rs('rs'), [server.add_client('c%d' % i) for i in range(3)]
        polls = [Poll(server, clients[i % 3], '?diff=0') for i in range(13)]  # 10 of them may
        wait_for(lambda: [poll.code for poll in polls if not poll.waits()] == [429] * 3)
        assert all(Poll(server, client, '?diff=0').result().code == 429 for client in clients)
        polls += [Poll(server, rs, '?diff=0') for _ in range(10)]
        assert trl(server, rs).code == 200  # it has seen them all
        assert [poll.code for poll in polls if not poll.waits()] == [429] * 3
        for poll in polls:
            poll.hang_up()
    finally:
        server.daemon.stop()


def test_curl_reads_it_in_both_forms(site):
    rs = site.brokers[3]
    user = '%s:%s' % (rs.id, rs.secret)
    code, headers, body = curl(site.ca, '--user', user, site.url + '/trl')
    assert code == 200 and headers['content-type'] == 'application/ace-trl+json' and headers['cache-control'] == 'no-store'
    assert len(json.loads(body)['full_set']) == 1
    code, headers, _ = curl(site.ca, '--user', user, '--header', 'Accept: application/ace-trl+cbor',
                            '--output', '/dev/null', '--dump-header', '-', site.url + '/trl')
    assert code == 200 and headers['content-type'] == 'application/ace-trl+cbor'
    code, headers, body = curl(site.ca, '--user', user, site.url + '/trl?cursor=1')
    assert code == 400 and json.loads(body)['ace-trl-error'] == {'error-id': 1}
    for query, error in (('?diff', 0), ('?diff=', 0), ('?diff=0&cursor', 0), ('?cursor', 1)):  # RFC 9770 5.3
        code, headers, body = curl(site.ca, '--user', user, site.url + '/trl' + query)
        assert code == 400 and json.loads(body)['ace-trl-error']['error-id'] == error, (query, body)
    code, headers, _ = curl(site.ca, site.url + '/trl')
    assert code == 401 and 'www-authenticate' in headers
    code, _, body = curl(site.ca, site.url + '/.well-known/oauth-authorization-server')
    assert json.loads(body)['trl_endpoint'] == site.url + '/trl'


def test_many_tokens_are_revoked_while_others_are_served(site):
    rs, client = site.brokers[20], site.add_client('many')
    connection = http.client.HTTPSConnection('localhost', site.port, timeout=WAIT,
                                             context=ssl.create_default_context(cafile=site.ca))
    for _ in range(900):
        connection.request('POST', '/token', json.dumps(dict(site.credentials(client), audience=rs.id)),
                           {'Content-Type': 'application/ace+json'})
        got = connection.getresponse()
        assert got.status == 200, got.read()
        got.read()
    connection.close()
    poll = Poll(site, rs, '?diff=0')
    reply = site.admin('token.revoke', rs_id=rs.id)
    assert reply['tokens_revoked'] + reply['tokens_queued'] == 900
    seen, at = {t for _, added in poll.result().json['diff_set'] for t in added}, poll.json['cursor']
    site.daemon.kill()  # in the middle of it, or after; the next process finishes
    site.start()
    while len(seen) < 900:
        got = Poll(site, rs, '?diff=0&cursor=%d' % at).result().json
        assert got['diff_set'], 'no news'
        at = got['cursor']
        seen.update(t for _, added in got['diff_set'] for t in added)
    assert set(trl(site, rs).json['full_set']) == seen


def test_the_operator_revokes_and_looks(site):
    rs = site.brokers[30]
    client = site.add_client('ops')
    tokens = [site.token(client, rs.id)['access_token'] for _ in range(3)]
    env = {'SYMBOLON_AS_SOCKET': site.socket_path}
    listed = json.loads(run_cli('as', 'token', 'list', '--client', 'ops', '--json', env=env).stdout)['tokens']
    assert [t['status'] for t in listed] == ['valid'] * 3
    done = run_cli('as', 'token', 'revoke', listed[0]['jti'], env=env)
    assert done.returncode == 0 and 'tokens_revoked' in done.stdout, done.stderr
    assert len(trl(site, rs).json['full_set']) == 1
    assert run_cli('as', 'token', 'revoke', '--client', 'ops', '--rs', rs.id, env=env).returncode == 0
    assert set(trl(site, rs).json['full_set']) == {entry(t) for t in tokens}
    listed = json.loads(run_cli('as', 'token', 'list', '--client', 'ops', '--json', env=env).stdout)['tokens']
    assert [t['status'] for t in listed] == ['revoked'] * 3
    assert run_cli('as', 'token', 'revoke', env=env).returncode != 0
    assert run_cli('as', 'token', 'revoke', 'no-such-token', env=env).returncode != 0
    shown = json.loads(run_cli('as', 'status', '--json', env=env).stdout)
    assert shown['tokens_revoked'] > 900 and shown['tokens_queued'] == 0
