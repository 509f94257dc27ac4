"""Texts without the secrets of the addresses in them: passwords of users, and values of queries."""

import re
import sys
import traceback
from types import TracebackType

HIDDEN = "***"
HARMLESS = frozenset(
    {
        *("host", "hostaddr", "port", "user", "dbname", "options", "client_encoding"),
        *("application_name", "timeout", "connect_timeout", "tcp_user_timeout"),
        *("keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "gssencmode", "channel_binding"),
        "target_session_attrs",
    }
)
"""Options of an address that may be seen; of any other the value may be a secret, as of a typo."""

_SCHEME = r"(?P<kept>:/{1,2}"
"""What a path makes of an address has one slash."""
_PASSWORDS = (
    # With spaces, or an @ of its own; 5000 and a space are a port.
    _SCHEME + r"[^\s:/@]*:)(?!\d+(?:[/?#\s]|$))[^\n]*?@(?:\S*@)?",
    # Of a user with an @.
    _SCHEME + r"[^\s:/]*:)\S*@",
)
_NO_PORT = re.compile(_SCHEME + r"[^\s:/@\[]*:)(?!\*\*\*@|\d+\b)[^\s/@?#]+")
"""A password whose host was forgotten."""
_OPTION = re.compile(
    r"(?P<before>[?&](?P<key>[^\s=&?]+)=|\b(?P<word>\w*passw\w*|pwd)=)"
    r"""(?P<value>[^\s&]*?)(?=[;,:.)'"]*(?:\s|&|$))""",
    re.IGNORECASE,
)


def hide(text: str) -> str:
    """A text as it may be printed.

    >>> hide("no study postgresql://ann:abc@host/db?sslmode=require&passwrd=abc; there are none")
    'no study postgresql://ann:***@host/db?sslmode=require&passwrd=***; there are none'
    """
    for pattern in _PASSWORDS:
        text = re.sub(pattern, rf"\g<kept>{HIDDEN}@", text)
    text = _NO_PORT.sub(rf"\g<kept>{HIDDEN}", text)
    return _OPTION.sub(_option, text)


def _option(found: re.Match[str]) -> str:
    value = found["value"] if found["key"] in HARMLESS else HIDDEN
    return found["before"] + value


def print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What Python prints of an error that nobody caught; for `sys.excepthook`.

    Args:
        kind: of the error.
        error: whose message may hold an address.
        trace: where it was raised.
    """
    sys.stderr.write(hide("".join(traceback.format_exception(kind, error, trace))))
