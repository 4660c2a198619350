"""How AWS says no: the status, the code and the shape of an error, by the protocol of the service."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

from moto.core.responses import BaseResponse
from moto.s3.responses import S3Response
from werkzeug.exceptions import HTTPException

_JSON, _QUERY, _S3 = "json", "query", "s3"
# (error) -> protocol -> (status, code). The common errors of each API, and
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_CODES: dict[str, dict[str, tuple[int, str]]] = {
    "denied": {
        _JSON: (400, "AccessDeniedException"),
        _QUERY: (403, "AccessDenied"),
        _S3: (403, "AccessDenied"),
    },
    "unknown key": {
        _JSON: (400, "UnrecognizedClientException"),
        _QUERY: (403, "InvalidClientTokenId"),
        _S3: (403, "InvalidAccessKeyId"),
    },
    "wrong token": {
        _JSON: (400, "UnrecognizedClientException"),
        _QUERY: (403, "InvalidClientTokenId"),
        _S3: (400, "InvalidToken"),
    },
    "expired": {
        _JSON: (400, "ExpiredTokenException"),
        _QUERY: (403, "ExpiredToken"),
        _S3: (400, "ExpiredToken"),
    },
    "anonymous": {
        _JSON: (400, "MissingAuthenticationTokenException"),
        _QUERY: (403, "MissingAuthenticationToken"),
        _S3: (403, "AccessDenied"),
    },
}
_TOLD = {
    "unknown key": "The security token included in the request is invalid.",
    "wrong token": "The security token included in the request is invalid.",
    "expired": "The security token included in the request is expired",
    "anonymous": "Missing Authentication Token",
}
_TOLD_BY_S3 = {
    "unknown key": "The AWS Access Key Id you provided does not exist in our records.",
    "wrong token": "The provided token is malformed or otherwise invalid.",
    "expired": "The provided token has expired.",
    "anonymous": "Access Denied",
}


class Refusal(HTTPException):
    """An answer of AWS that ends a request; both doors send it as it is.

    Args:
        error: a key of the table of codes: denied, unknown key, wrong token, expired or anonymous.
        told: the message of a denial; the others have their own.
    """

    def __init__(self, response: BaseResponse, error: str, told: str = "") -> None:
        protocol = _protocol(response)
        self.code, self._aws_code = _CODES[error][protocol]
        if response.service_name == "sns" and error == "denied":
            self._aws_code = "AuthorizationError"
        message = told or (_TOLD_BY_S3 if protocol == _S3 else _TOLD)[error]
        super().__init__(message)
        self._protocol, self._message = protocol, message

    def get_headers(self, *ignored: Any, **named: Any) -> list[tuple[str, str]]:
        """Return the headers of the answer."""
        kind = "application/x-amz-json-1.1" if self._protocol == _JSON else "text/xml"
        return [("Content-Type", kind), ("x-amzn-RequestId", str(uuid4())), ("x-amzn-ErrorType", self._aws_code)]

    def get_body(self, *ignored: Any, **named: Any) -> str:
        """Return the body of the answer."""
        if self._protocol == _JSON:
            return json.dumps({"__type": self._aws_code, "message": self._message, "Message": self._message})
        error = f"<Code>{self._aws_code}</Code><Message>{escape(self._message)}</Message>"
        if self._protocol == _S3:
            return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{error}<RequestId>{uuid4()}</RequestId></Error>'
        return (
            f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error><RequestId>{uuid4()}</RequestId></ErrorResponse>"
        )


def _protocol(response: BaseResponse) -> str:
    if isinstance(response, S3Response):
        return _S3
    return _JSON if "X-Amz-Target" in response.headers or "x-amz-target" in response.headers else _QUERY
