"""What is worth telling: import errors, failed runs, refused releases; each told once.

Configured by environment variables, each optional:
- `SLIPWAY_AIRFLOW_EVENTS`: a file that gets one JSON object a line
- `SLIPWAY_AIRFLOW_TOPIC`: the ARN of an SNS topic
"""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from datetime import UTC, datetime

EVENTS_FILE = "SLIPWAY_AIRFLOW_EVENTS"
TOPIC = "SLIPWAY_AIRFLOW_TOPIC"
REMEMBERED = 1000  # events, so that a long-lived process does not grow
SUBJECT_LIMIT = 100  # characters: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html

log = logging.getLogger(__name__)


class Events:
    """Tells what is new to it. Telling never fails the process that has something to tell."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], str] = OrderedDict()

    def tell(self, kind: str, subject: str, message: str) -> bool:
        """Tell an event unless the last one of this kind and subject said the same; return True when told.

        Side effects: a line in the events file, a message on the topic, whichever are configured; a line in the log.
        """
        key = (kind, subject)
        if self._told.get(key) == message:
            return False
        self._told[key] = message
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        log.warning("%s: %s: %s", kind, subject, message)
        event = {"at": datetime.now(UTC).isoformat(), "kind": kind, "subject": subject, "message": message}
        for send in (_append, _publish):
            try:
                send(event)
            except Exception:
                log.exception("an event could not be sent")
        return True

    def forget(self, kind: str, subject: str) -> None:
        """Let the next event of this kind and subject be told, whatever it says."""
        self._told.pop((kind, subject), None)


def last_line(stacktrace: str) -> str:
    """Return the last line of a stack trace that says something."""
    lines = [line.strip() for line in stacktrace.splitlines() if line.strip()]
    return lines[-1] if lines else "(no message)"


def _append(event: dict[str, str]) -> None:
    if path := os.environ.get(EVENTS_FILE):
        line = json.dumps(event, sort_keys=True) + "\n"
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)  # one write of one line: whole among those of other processes


def _publish(event: dict[str, str]) -> None:
    if topic := os.environ.get(TOPIC):
        import boto3

        subject = f"Airflow: {event['kind']}: {event['subject']}".encode("ascii", "replace").decode()
        boto3.client("sns").publish(
            TopicArn=topic, Subject=subject[:SUBJECT_LIMIT], Message=json.dumps(event, sort_keys=True, indent=2)
        )
