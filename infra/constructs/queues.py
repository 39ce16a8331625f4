"""Queues as this stack makes them: encrypted, TLS only, each with a dead-letter queue that raises an alarm."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.alarms import runbook
from shared.contract import QUEUE_TRIES

# The worker buries what fails by itself; what fails because the store is busy is handed out again, at most every 15 s,
# for this many times: 20 minutes and more, rather than lose what was acknowledged.
_LANE_MAX_RECEIVE_COUNT = 100
_DEAD_LETTERS_KEPT = Duration.days(14)  # the most that SQS allows
# What an alarm says is to be done.
REDRIVE = "Mend the cause, then: tidewire redrive"
NOTHING_LOST = "Mend the cause, then purge the queue: clients have recovered by themselves what they missed."


def fifo_queue(scope: Construct, construct_id: str, *, visibility: Duration) -> sqs.Queue:
    """Return a FIFO queue in high-throughput mode: limits then hold per message group, which is per channel.

    Source: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/high-throughput-fifo.html
    """
    dead_letters = sqs.Queue(
        scope,
        f"{construct_id}DeadLetters",
        fifo=True,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=_DEAD_LETTERS_KEPT,
    )
    _alarm(dead_letters, REDRIVE)
    return sqs.Queue(
        scope,
        f"{construct_id}Lane",
        fifo=True,
        deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP,
        fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        visibility_timeout=visibility,
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=_LANE_MAX_RECEIVE_COUNT),
    )


def standard_queue(scope: Construct, construct_id: str, *, visibility: Duration, mend: str) -> sqs.Queue:
    """Return a standard queue; ``mend`` is what its alarm says is to be done."""
    return sqs.Queue(
        scope,
        construct_id,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        visibility_timeout=visibility,
        dead_letter_queue=sqs.DeadLetterQueue(
            queue=dead_letter_queue(scope, f"{construct_id}DeadLetters", mend=mend),
            max_receive_count=QUEUE_TRIES,
        ),
    )


def dead_letter_queue(scope: Construct, construct_id: str, *, mend: str) -> sqs.Queue:
    """Return a standard queue for what failed for good; ``mend`` is what its alarm says is to be done."""
    queue = sqs.Queue(
        scope,
        construct_id,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=_DEAD_LETTERS_KEPT,
    )
    _alarm(queue, mend)
    return queue


def _alarm(dead_letters: sqs.Queue, mend: str) -> None:
    """Raise an alarm while anything is there: it stays until somebody looks."""
    dead_letters.metric_approximate_number_of_messages_visible(
        period=Duration.minutes(1), statistic="Maximum"
    ).create_alarm(
        dead_letters,
        "NotEmpty",
        alarm_description=f"Something failed for good. {mend} ({runbook('dead-letters')})",
        threshold=1,
        evaluation_periods=1,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
