"""A page on the loopback interface, with a model that answers it and nobody else."""

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from pisces.explorer.live import Question, parse

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
MOST_BYTES = 1 << 20
"""Of a question: the numbers of all pixels of several views."""

CLOSED, OPEN = "connect-src 'none'", "connect-src 'self'"
"""What a page may ask for when it lies on a disk, and when it is served."""
STILL, LIVE = 'data-live="no"', 'data-live="yes"'

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Answer = Callable[[Question], dict[str, list[float]]]


def live_page(page: str) -> str:
    """The page as it is served: it paints pixels, and asks the place where it comes from.

    Raises:
        ValueError: for a page of another making.
    """
    if page.count(CLOSED) != 1 or page.count(STILL) != 1:
        raise ValueError("it is not as the stage page writes it")
    return page.replace(CLOSED, OPEN).replace(STILL, LIVE)


def app(page: str, answer: Answer, port: int) -> "Starlette":
    """What is served: the page, and answers to its questions.

    Args:
        page: as `live_page` gives it.
        answer: what the model says; a ValueError is told to who asked.
        port: on which it is served.

    Returns:
        An application that refuses other hosts and origins, and questions that are too long.
    """
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Route

    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}

    def refused(request: "Request") -> "Response | None":
        """Pages of other sites reach this port, too, by a name that leads to it or by a script."""
        host, origins = request.headers.get("host", ""), request.headers.getlist("origin")
        if host.lower() not in hosts:
            return _error(421, f"this is {HOST}:{port}, and no other host")
        if not set(origins) <= {f"http://{one}" for one in hosts}:
            return _error(403, "only the page itself may ask")
        return None

    async def show(request: "Request") -> "Response":
        return refused(request) or HTMLResponse(page, headers=HEADERS)

    async def ask(request: "Request") -> "Response":
        refusal = refused(request)
        if refusal:
            return refusal
        kind, _, _ = request.headers.get("content-type", "").partition(";")
        if kind.strip() != "application/json":
            return _error(415, "a question is application/json")
        try:
            body = await _body(request)
        except ClientDisconnect:
            return _error(400, "the question was cut off")
        if body is None:
            return _error(413, f"a question has at most {MOST_BYTES} bytes")
        try:
            said = answer(parse(body))  # some milliseconds, in which nobody else asks
        except ValueError as error:
            return _error(422, str(error))
        return JSONResponse(said, headers=HEADERS)

    return Starlette(routes=[Route("/", show), Route("/answer", ask, methods=["POST"])])


def _error(status: int, reason: str) -> "Response":
    from starlette.responses import JSONResponse

    return JSONResponse({"error": reason}, status, headers=HEADERS)


async def _body(request: "Request") -> bytes | None:
    """The body, or None as soon as it is longer than a question may be."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            return None
    return body


def listening(port: int) -> socket.socket:
    """A socket that listens on the loopback interface; 0 takes any free port.

    Raises:
        ValueError: for what is no port.
        OSError: where it is taken, or not allowed.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port {port} is no port: give 1 to 65535, or 0 for any that is free")
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((HOST, port))
        one.listen()
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(
                f"port {port} of {HOST} is taken by another program: give another with --port, "
                "or --port 0 for any that is free"
            ) from None
        if error.errno == errno.EACCES:
            raise OSError(
                f"port {port} of {HOST} is not allowed to you: give one above 1023 with --port"
            ) from None
        raise
    return one


def serve(page: str, answer: Answer, one: socket.socket) -> None:
    """Serves until it is interrupted.

    Args:
        page: as `live_page` gives it.
        answer: what the model says.
        one: a socket that listens.
    """
    import uvicorn

    port = one.getsockname()[1]
    config = uvicorn.Config(app(page, answer, port), log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[one])
