"""Dead letters in SQS, on their way back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.aws import translated
from shared.adapters.sqs import send_all
from shared.domain.dead_letter import DeadLetter, RedrivenQueue

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_TAKEN_MAX: Final = 10  # docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
# Long enough to put a batch back; what was not is there again after it.
_VISIBILITY_S: Final = 60
# With a wait, SQS asks all of its servers, and not some of them: none then are none.
_WAIT_S: Final = 1


@dataclass(frozen=True, slots=True)
class Way:
    """From a dead-letter queue to where its messages came from: the URLs of both."""

    dead_letters: str
    queue: str


class SqsDeadLetterQueues:
    """The dead-letter queues of the lanes and of the event queue."""

    def __init__(self, client: "SQSClient", ways: Mapping[RedrivenQueue, Way]) -> None:
        self._client = client
        self._ways = ways

    def waiting(self, queue: RedrivenQueue) -> int:
        with translated():
            answer = self._client.get_queue_attributes(
                QueueUrl=self._ways[queue].dead_letters,
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )
        return sum(map(int, answer["Attributes"].values()))

    def take(self, queue: RedrivenQueue) -> Sequence[DeadLetter]:
        with translated():
            answer = self._client.receive_message(
                QueueUrl=self._ways[queue].dead_letters,
                MaxNumberOfMessages=_TAKEN_MAX,
                VisibilityTimeout=_VISIBILITY_S,
                WaitTimeSeconds=_WAIT_S,
                MessageSystemAttributeNames=["MessageGroupId", "SentTimestamp"],
            )
        return [_letter(message) for message in answer.get("Messages", [])]

    def put_back(self, queue: RedrivenQueue, letters: Sequence[tuple[DeadLetter, str]]) -> None:
        if not letters:
            return
        way = self._ways[queue]
        send_all(self._client, way.queue, [_entry(letter, body) for letter, body in letters])
        receipts: list[Any] = [
            {"Id": str(place), "ReceiptHandle": letter.receipt} for place, (letter, _) in enumerate(letters)
        ]
        with translated():
            # One that SQS does not delete is handed out and put back again: its repeat is known by its id.
            self._client.delete_message_batch(QueueUrl=way.dead_letters, Entries=receipts)


def _letter(message: "MessageTypeDef") -> DeadLetter:
    attributes: Mapping[str, str] = message["Attributes"]  # type: ignore[assignment]
    return DeadLetter(
        message["MessageId"],
        message["ReceiptHandle"],
        message["Body"],
        sent_at_ms=int(attributes["SentTimestamp"]),
        group=attributes.get("MessageGroupId"),
    )


def _entry(letter: DeadLetter, body: str) -> dict[str, Any]:
    entry = {"MessageBody": body}
    if letter.group is not None:
        # Another id than before: SQS drops what it has seen in the last 5 minutes.
        entry |= {"MessageGroupId": letter.group, "MessageDeduplicationId": letter.message_id}
    return entry
