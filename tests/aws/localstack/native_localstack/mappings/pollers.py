"""Puts the plugin's own reading and delivering into the place of LocalStack's.

LocalStack 4.14.0 reads a mapping's shards in turn, so that a shard that fails holds up the others; it does not bisect,
works on one batch at a time, and forgets its place when a mapping is switched off.
"""

import logging
import threading
import time
from types import SimpleNamespace
from typing import Any, ClassVar

from localstack import config
from localstack.runtime import hooks
from localstack.services.dynamodb.server import DynamodbServer
from localstack.services.lambda_.event_source_mapping.esm_worker_factory import EsmWorkerFactory
from localstack.services.lambda_.event_source_mapping.pollers.dynamodb_poller import DynamoDBPoller
from localstack.services.lambda_.event_source_mapping.pollers.kinesis_poller import KinesisPoller
from localstack.services.lambda_.event_source_mapping.pollers.poller import (
    EmptyPollResultsException,
    get_batch_item_failures,
)
from localstack.services.lambda_.event_source_mapping.pollers.stream_poller import StreamPoller
from localstack.services.lambda_.event_source_mapping.senders.sender import PartialFailureSenderError, SenderError
from localstack.utils.event_matcher import matches_event

from native_localstack.kinesis.provider import NativeKinesis
from native_localstack.lambda_executor.client import LambdaClient
from native_localstack.mappings import filters
from native_localstack.mappings.batches import Event, arrived, sequence_number
from native_localstack.mappings.changes import Changes, Trimmed
from native_localstack.mappings.delivery import HANDLED, Result, Rules
from native_localstack.mappings.reader import Settings, ShardReader

LOG = logging.getLogger(__name__)

# The most records that one GetRecords returns.
MOST_RECORDS = 10_000


class Shards:
    """The shards of one mapping while it is enabled."""

    # The last one that ran, by the mapping's id: each enabling makes a new poller, which goes on where that one was.
    last: ClassVar[dict[str, "Shards"]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, poller: StreamPoller, settings: Settings, iterators: dict[str, str]) -> None:
        self.readers = {
            shard: ShardReader(
                _SOURCES[type(poller)](poller, shard), Function(poller, shard), settings, iterator, _filter(poller)
            )
            for shard, iterator in iterators.items()
        }

    @classmethod
    def start(cls, poller: StreamPoller) -> None:
        """Begins to read, unless it has begun already."""
        with cls.lock:
            if getattr(poller, "native_shards", None) or poller._is_shutdown.is_set():
                return
            before = cls.last.get(poller.esm_uuid)
            iterators = before.end() if before else poller.initialize_shards()
            if not iterators:
                raise EmptyPollResultsException(service=poller.event_source(), source_arn=poller.source_arn)
            shards = cls(poller, _settings(poller.native_mapping), iterators)
            poller.native_shards = cls.last[poller.esm_uuid] = shards
        for reader in shards.readers.values():
            reader.start()

    def end(self) -> dict[str, str]:
        """Waits until nothing is read any more; returns where to go on."""
        for reader in self.readers.values():
            reader.join()
        return {shard: reader.checkpoint() for shard, reader in self.readers.items()}


def _settings(mapping: dict[str, Any]) -> Settings:
    rules = Rules(
        most_retries=mapping.get("MaximumRetryAttempts", -1),
        most_seconds=mapping.get("MaximumRecordAgeInSeconds", -1),
        bisects=bool(mapping.get("BisectBatchOnFunctionError")),
    )
    window = mapping.get("MaximumBatchingWindowInSeconds") or 0
    return Settings(mapping["BatchSize"], window, mapping.get("ParallelizationFactor") or 1, rules)


def _filter(poller: StreamPoller) -> Any:
    def select(events: list[Event]) -> list[Event]:
        """The records that pass the mapping's filters, as the function sees them."""
        return list(poller.add_source_metadata(filters.select(events, poller.filter_patterns, matches_event)))

    return select


class KinesisShard:
    """A shard of Kinesis, read without a request."""

    def __init__(self, poller: StreamPoller, shard: str) -> None:
        self.poller, self.shard = poller, shard
        _, _, _, region, account, _ = poller.source_arn.split(":", 5)
        self.context = SimpleNamespace(account_id=account, region=region)
        factor = poller.native_mapping.get("ParallelizationFactor") or 1
        self.limit = min(poller.native_mapping["BatchSize"] * factor, MOST_RECORDS)

    def read(self, iterator: str) -> tuple[list[Event], str | None]:
        got = _kinesis().get_records(self.context, iterator, self.limit)
        return self.poller.transform_into_events(got["Records"], self.shard), got["NextShardIterator"]

    def at(self, number: str) -> str:
        got = _kinesis().get_shard_iterator(
            self.context,
            self.shard,
            "AT_SEQUENCE_NUMBER",
            stream_arn=self.poller.source_arn,
            starting_sequence_number=number,
        )
        return str(got["ShardIterator"])

    def wait(self, iterator: str, seconds: float) -> None:
        _kinesis().wait(self.context, iterator, seconds)


def _kinesis() -> NativeKinesis:
    assert NativeKinesis.instance is not None, "a stream is read, so that its provider is there"
    return NativeKinesis.instance


class TableShard:
    """A shard of a table's change stream, which is polled, without LocalStack's gateway."""

    def __init__(self, poller: StreamPoller, shard: str) -> None:
        self.poller, self.shard = poller, shard
        self.changes = Changes(DynamodbServer.get().port)

    def read(self, iterator: str) -> tuple[list[Event], str | None]:
        try:
            return self.changes.read(iterator)
        except Trimmed:
            # DynamoDB Local numbers the records of all its streams together, and calls the iterator of an empty stream too old
            # once another one has had records.
            return self.changes.read(self._iterator("TRIM_HORIZON"))

    def at(self, number: str) -> str:
        return self._iterator("AT_SEQUENCE_NUMBER", SequenceNumber=number)

    def _iterator(self, kind: str, **place: str) -> str:
        got = self.poller.source_client.get_shard_iterator(
            StreamArn=self.poller.source_arn, ShardId=self.shard, ShardIteratorType=kind, **place
        )
        return str(got["ShardIterator"])

    def wait(self, iterator: str, seconds: float) -> None:
        self.poller._is_shutdown.wait(min(config.LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC, seconds))


_SOURCES: dict[type, Any] = {KinesisPoller: KinesisShard, DynamoDBPoller: TableShard}


class Function:
    """The function of a mapping, and where records go that it failed on to the last."""

    def __init__(self, poller: StreamPoller, shard: str) -> None:
        self.poller, self.shard = poller, shard

    def invoke(self, batch: list[Event]) -> Result:
        try:
            self.poller.processor.process_target_stage(batch)
        except PartialFailureSenderError as failure:
            return _partial(batch, failure)
        except SenderError as failure:
            return Result(failed_from=0, crashed=True, error=failure.error)
        except Exception as failure:
            LOG.warning("a function cannot be invoked: %s", failure)
            return Result(failed_from=0, invoked=False, error={"message": str(failure)})
        return HANDLED

    def give_up(self, batch: list[Event], condition: str, error: dict[str, Any], attempts: int) -> None:
        # LocalStack leaves out the condition where there is no error, that is, for records that are too old.
        context = self.poller.processor.generate_event_failure_context(
            abort_condition=condition, error=error or {"requestId": None}, attempts_count=attempts
        )
        if not error:
            del context["responseContext"]
        try:
            self.poller.send_events_to_dlq(self.shard, batch, context=context)
        except Exception:
            # As on Lambda, the records are lost then.
            LOG.error("%d records cannot be written to the on-failure destination", len(batch), exc_info=True)

    def now(self) -> float:
        return time.time()

    def wait(self, seconds: float) -> None:
        self.poller._is_shutdown.wait(seconds)

    def stopped(self) -> bool:
        return bool(self.poller._is_shutdown.is_set())


def _partial(batch: list[Event], failure: PartialFailureSenderError) -> Result:
    """Lambda begins again at the lowest sequence number, and with the whole batch if one is not of this batch."""
    numbers = [sequence_number(event) for event in batch]
    failed = get_batch_item_failures(failure.partial_failure_payload, set(numbers))
    first = numbers.index(min(failed, key=int)) if failed else 0
    return Result(failed_from=first, error=failure.error)


@hooks.on_infra_start(name="native_localstack_mappings")
def install() -> None:
    """Replaces the methods with which LocalStack reads a stream."""

    def poll_events(poller: StreamPoller) -> None:
        Shards.start(poller)

    def close(poller: StreamPoller) -> None:
        poller._is_shutdown.set()
        if shards := getattr(poller, "native_shards", None):
            for reader in shards.readers.values():
                reader.join()

    StreamPoller.poll_events = poll_events
    StreamPoller.close = close
    # LocalStack always takes the present.
    DynamoDBPoller.get_approximate_arrival_time = lambda _, event: arrived(event)

    make_worker = EsmWorkerFactory.get_esm_worker

    def get_worker(factory: EsmWorkerFactory) -> Any:
        worker = make_worker(factory)
        # Not all of it reaches LocalStack's own pollers.
        worker.poller.native_mapping = factory.esm_config
        worker.poller.processor.sender.target_client = LambdaClient()
        return worker

    EsmWorkerFactory.get_esm_worker = get_worker
