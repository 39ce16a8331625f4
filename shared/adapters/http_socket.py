"""Keep-alive sockets that never block, over which goes one request at a time, and the pool that bounds them."""

import errno
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

from shared.adapters.http_answer import Answer, read_answer
from shared.adapters.sigv4 import Endpoint

# As shared.adapters.aws.CLIENT_CONFIG has them.
CONNECT_TIMEOUT_S: Final = 1
ANSWER_TIMEOUT_S: Final = 2
_READ_BYTES: Final = 4_096
_ADDRESSES_KEPT_S: Final = 30  # execute-api's names live for 60 s
_NO_ADDRESS_KEPT_S: Final = 1

READABLE: Final = select.POLLIN
WRITABLE: Final = select.POLLOUT

Address = tuple[socket.AddressFamily, Any]


class HttpSocket:
    """One socket, opened with its first request, and again where the server has closed it meanwhile.

    Attributes:
        fd: Of the socket; each :meth:`send`, :meth:`proceed` and :meth:`late` may change it.
        waits_for: When to :meth:`proceed`, as ``select.poll`` has it.
        deadline_s: When to say :meth:`late`, by ``time.monotonic``.
        job: What it is used for: its user's.
    """

    __slots__ = (
        "_addresses",
        "_opening",
        "_poller",
        "_received",
        "_request",
        "_resolve",
        "_server",
        "_socket",
        "_tls",
        "_unsent",
        "_used",
        "deadline_s",
        "fd",
        "job",
        "waits_for",
    )

    def __init__(self, resolve: Callable[[], Sequence[Address]], server: str, tls: ssl.SSLContext | None) -> None:
        self._resolve, self._server, self._tls = resolve, server, tls
        self._socket: socket.socket | None = None
        self._addresses: list[Address] = []
        self._opening: Callable[[], bool] | None = None
        self._request, self._received = b"", b""
        self._unsent: bytes | memoryview = b""
        self._used = False  # an answer has come over it
        self.fd, self.waits_for, self.deadline_s, self.job = -1, 0, 0.0, 0

    def send(self, request: bytes) -> None:
        """Begin to send it: the rest, and the answer, come by :meth:`proceed`.

        Raises:
            OSError: It can't be sent.
        """
        self._request = self._unsent = request
        self._received = b""
        if self._socket is None:
            self._open()
            return
        try:
            self._flush()
        except OSError as error:
            self._open_again(error)

    def proceed(self) -> Answer | None:
        """Do what can be done now; return the answer once all of it is there.

        Raises:
            OSError: There will be none.
        """
        if self._opening:
            self._go_on_opening()
            return None
        try:
            if self._unsent:
                self._flush()
            return self._receive()
        except OSError as error:
            answer = self._refusal() if self._unsent else None
            if answer is None:
                self._open_again(error)
            return answer

    def late(self) -> None:
        """Try the server's next address, if it is still to be opened.

        Raises:
            OSError: There is none, or the request has been sent.
        """
        if self._opening is None or not self._addresses:
            raise TimeoutError("no answer in time")
        self._connect()

    def alive(self) -> bool:
        """Tell whether an idle one may be used: it has not been closed, and nothing has come that nobody asked for."""
        if self._socket is None or not self._poller.poll(0):  # nearly always, and cheaper than to read in vain
            return True
        try:
            self._socket.recv(1)  # with TLS there may be a session ticket, and behind it nothing to read
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close it; :meth:`send` opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._opening, self.fd, self._used = None, None, -1, False

    def _open(self) -> None:
        self._addresses = list(self._resolve())
        self._connect()

    def _open_again(self, error: OSError) -> None:
        # A keep-alive connection may be closed at any time, also when a request is on its way to it. That may have been
        # taken all the same, and is sent twice then: who receives a publication knows it by its offset.
        if not self._used or self._received:
            raise error
        self._unsent = self._request
        self._open()

    def _refusal(self) -> Answer | None:
        """Return the answer of one who would not have all of the request, and has closed."""
        try:
            return self._receive()
        except OSError:
            return None  # what went wrong before is told

    def _connect(self) -> None:
        while True:
            self.close()
            family, address = self._addresses.pop(0)
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.fd, self.waits_for, self._opening = self._socket.fileno(), WRITABLE, self._connected
            self._poller = select.poll()
            self._poller.register(self.fd, READABLE)
            self.deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
            error = self._socket.connect_ex(address)
            if error in (0, errno.EINPROGRESS):
                return
            if not self._addresses:
                raise OSError(error, os.strerror(error))

    def _go_on_opening(self) -> None:
        try:
            while self._opening:
                if not self._opening():
                    return
        except OSError:
            if not self._addresses:
                raise
            self._connect()
            return
        self._flush()

    def _connected(self) -> bool:
        assert self._socket is not None
        if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        self._opening = None
        if self._tls:
            self._socket = self._tls.wrap_socket(
                self._socket, server_hostname=self._server, do_handshake_on_connect=False
            )
            self._opening, self.deadline_s = self._shaken_hands, time.monotonic() + ANSWER_TIMEOUT_S
        return True

    def _shaken_hands(self) -> bool:
        assert isinstance(self._socket, ssl.SSLSocket)
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self.waits_for = READABLE
            return False
        except ssl.SSLWantWriteError:
            self.waits_for = WRITABLE
            return False
        self._opening = None
        return True

    def _flush(self) -> None:
        assert self._socket is not None
        self.waits_for, self.deadline_s = READABLE, time.monotonic() + ANSWER_TIMEOUT_S
        while unsent := self._unsent:
            try:
                sent = self._socket.send(unsent)
            except ssl.SSLWantReadError:
                return
            except (BlockingIOError, ssl.SSLWantWriteError):
                self.waits_for = READABLE | WRITABLE
                return
            if sent == len(unsent):
                self._unsent = b""
                return
            self._unsent = memoryview(unsent)[sent:]

    def _receive(self) -> Answer | None:
        assert self._socket is not None
        while True:
            try:
                some = self._socket.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return None
            self._received = self._received + some if self._received else some
            if not self._received:
                raise ConnectionResetError("closed without an answer")
            answer = read_answer(self._received, ended=not some)
            if answer is not None:
                self._used = True
                return replace(answer, keeps_alive=False) if self._unsent else answer


class _Addresses:
    """Where a server is, asked for now and then."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._resolved: tuple[float, Sequence[Address] | OSError] = (0, ())
        self._turns = count()

    def next(self) -> Sequence[Address]:
        """Return all of them, each time beginning with another.

        Raises:
            OSError: There are none.
        """
        until_s, addresses = self._resolved
        if time.monotonic() >= until_s:
            until_s, addresses = self._resolved = self._resolve()
        if isinstance(addresses, OSError):
            raise addresses.with_traceback(None)  # of all that were raised before
        first = next(self._turns) % len(addresses)  # each has its part, as where every socket resolves for itself
        return [*addresses[first:], *addresses[:first]]

    def _resolve(self) -> tuple[float, Sequence[Address] | OSError]:
        """Return the server's addresses, or why there are none, and until when this is to be believed."""
        try:
            found = socket.getaddrinfo(self._endpoint.host, self._endpoint.port, type=socket.SOCK_STREAM)
        except OSError as error:
            # A resolver that does not answer is waited for for seconds: not by every push.
            return time.monotonic() + _NO_ADDRESS_KEPT_S, error
        return time.monotonic() + _ADDRESSES_KEPT_S, [(family, address) for family, _, _, _, address in found]


class SocketPool:
    """At most so many sockets to one server, whoever needs them. Safe to use from many threads.

    Attributes:
        wanted: The threads that have none and wait for one, in the order that they came in.
    """

    def __init__(self, endpoint: Endpoint, at_most: int, ca_bundle: str) -> None:
        self._idle: list[HttpSocket] = []
        self._endpoint = endpoint
        self._tls = ssl.create_default_context(cafile=ca_bundle) if endpoint.secure else None
        self._left = at_most
        self._lock = threading.Lock()
        self._returned = threading.Condition(self._lock)
        self._addresses = _Addresses(endpoint)
        self.wanted: deque[int] = deque()

    def __del__(self) -> None:
        for one in self._idle:
            one.close()

    def take(self, *, wait_s: float = 0) -> HttpSocket | None:
        """Return one that nobody else uses, to be given back; ``None`` if there is none in that time.

        Who does not wait has others already, and gets no more while somebody waits.
        """
        with self._lock:
            if self.wanted and not wait_s:
                return None
            if wait_s and (self.wanted or not (self._left or self._idle)):
                self._wait(wait_s)
            while self._idle:
                idle = self._idle.pop()
                if idle.alive():
                    return idle
                idle.close()
                self._left += 1
            if not self._left:
                return None
            self._left -= 1
        return HttpSocket(self._addresses.next, self._endpoint.host, self._tls)

    def give_back(self, one: HttpSocket, *, usable: bool) -> None:
        """Have others use it; or a new one in its place."""
        if not usable:
            one.close()
        with self._lock:
            if usable:
                self._idle.append(one)
            else:
                self._left += 1
            if self.wanted:
                self._returned.notify_all()

    def _wait(self, wait_s: float) -> None:
        me = threading.get_ident()
        self.wanted.append(me)
        try:
            self._returned.wait_for(lambda: self.wanted[0] == me and (self._left or self._idle), wait_s)
        finally:
            self.wanted.remove(me)
            self._returned.notify_all()  # there may be one for the next, too
