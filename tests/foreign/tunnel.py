"""A TCP port that leads to a broker over TCP, TLS, WebSocket or WebSocket in TLS: for foreign clients that speak TCP only."""
import contextlib
import select
import socket
import ssl
import threading

import wsproto
import wsproto.events


def there(sock):
    """What has come: bytes, none at the end, None when it is nothing for us (TLS has tickets, too)."""
    sock.setblocking(False)
    try:
        return sock.recv(65536)
    except (ssl.SSLWantReadError, BlockingIOError):
        return None
    finally:
        sock.setblocking(True)


class Plain:
    def __init__(self, sock):
        self.sock = sock

    def send(self, data):
        self.sock.sendall(data)

    def receive(self):
        return there(self.sock)


class WebSocket:
    """Binary frames, subprotocol mqtt (MQTT5 6)."""

    def __init__(self, sock, path):
        self.sock, self.ws = sock, wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        sock.sendall(self.ws.send(wsproto.events.Request(host='localhost', target=path, subprotocols=['mqtt'])))
        while not any(isinstance(e, wsproto.events.AcceptConnection) for e in self._events(sock.recv(65536))):
            pass

    def _events(self, more):
        self.ws.receive_data(more or None)
        return list(self.ws.events())

    def send(self, data):
        self.sock.sendall(self.ws.send(wsproto.events.BytesMessage(data=data)))

    def receive(self):
        more, data, ended = there(self.sock), b'', False
        if more is None:
            return None
        for event in self._events(more):
            if isinstance(event, wsproto.events.BytesMessage):
                data += bytes(event.data)
            elif isinstance(event, wsproto.events.Ping):
                self.sock.sendall(self.ws.send(event.response()))
            elif isinstance(event, wsproto.events.CloseConnection):
                ended = True
        return data if data or ended or not more else None


class Tunnel:
    """`kind` is tcp, tls, ws or wss; `port` is where to connect to instead."""

    def __init__(self, kind, target, ca, path='/mqtt'):
        self.kind, self.target, self.ca, self.path = kind, target, ca, path
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            near, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _dial(self):
        sock = socket.create_connection(('127.0.0.1', self.target))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.kind in ('tls', 'wss'):
            sock = ssl.create_default_context(cafile=self.ca).wrap_socket(sock, server_hostname='localhost')
        return sock, WebSocket(sock, self.path) if self.kind in ('ws', 'wss') else Plain(sock)

    def _serve(self, near):
        """One thread: a TLS socket is not for two. What the broker says last is read though it hears no more."""
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock, far = self._dial()
        except (OSError, wsproto.utilities.RemoteProtocolError):
            near.close()
            return
        deaf = False
        while True:
            ready = [sock] if isinstance(sock, ssl.SSLSocket) and sock.pending() else \
                select.select([near] if deaf else [near, sock], [], [])[0]
            if sock in ready and not deaf:
                deaf = not self._pass(far.receive, near.sendall)
                if deaf:
                    with contextlib.suppress(OSError):
                        near.shutdown(socket.SHUT_WR)
            if near in ready:
                try:
                    data = near.recv(65536)
                except OSError:
                    data = b''
                if not data:
                    break
                self._pass(lambda: data, far.send)
        sock.close()
        near.close()

    @staticmethod
    def _pass(receive, send):
        """False: the end, or an error that is one."""
        try:
            data = receive()
            if data:
                send(data)
            return data is None or bool(data)
        except (OSError, wsproto.utilities.ProtocolError):
            return False
