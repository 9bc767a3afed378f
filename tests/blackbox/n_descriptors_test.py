"""Without file descriptors the broker goes on, says so, and takes who waited when some come free."""
import os
import resource
import socket

import mqtt5


def test_out_of_descriptors_is_said_and_survived(make_broker):
    broker = make_broker(workers=1, public=[['public/#', ['pub', 'sub']]])
    pid = broker.daemon.process.pid
    with mqtt5.Client(broker.port, broker.ca) as client:
        assert client.open('inside').reason == 0
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = max(int(fd) for fd in os.listdir('/proc/%d/fd' % pid)) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
        waiting = [socket.create_connection(('127.0.0.1', broker.port)) for _ in range(40)]
        broker.daemon.event('out_of_descriptors', port=broker.port)
        client.send(mqtt5.PING)
        client.expect(mqtt5.PINGRESP)
        for one in waiting:
            one.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    with mqtt5.Client(broker.port, broker.ca) as client:
        assert client.open('after').reason == 0
    broker.daemon.event('descriptors_back', port=broker.port)
