"""Kinesis within LocalStack's own process, as its provider `native`.

LocalStack's default is kinesis-mock on Node.js. There a PutRecords of 500 takes 250 ms and more, longer than the functions
wait, and each GetRecords takes time in proportion to all that its shard holds.
"""

from types import SimpleNamespace
from typing import Any, ClassVar, Never

from localstack import config
from localstack.aws.api import ServiceException
from localstack.aws.api.kinesis import (
    InvalidArgumentException,
    KinesisApi,
    ResourceInUseException,
    ResourceNotFoundException,
)
from localstack.constants import DEFAULT_AWS_ACCOUNT_ID
from localstack.services.plugins import Service, aws_provider

from native_localstack.kinesis.server import Error, Server
from native_localstack.kinesis.stream import MOST_RECORDS, NotFound, Shard, Stream, iterator, now, resolve

# What a new stream on demand has.
ON_DEMAND_SHARDS = 4
MOST_PUT_RECORDS = 500
MOST_RECORD_BYTES = 1024 * 1024
MOST_PUT_BYTES = 10 * 1024 * 1024

Answer = dict[str, Any]


class NativeKinesis(KinesisApi):
    """The operations that CloudFormation, the functions and their mappings call."""

    # The one that serves, for the mappings, which read without a request, and for functions.
    instance: ClassVar["NativeKinesis | None"] = None

    def __init__(self) -> None:
        NativeKinesis.instance = self
        self.server = Server(self._put, config.GATEWAY_LISTEN[0].port)
        # (account, region) -> name -> stream
        self._all: dict[tuple[str, str], dict[str, Stream]] = {}

    def _put(self, operation: str, region: str, arguments: Answer) -> Answer:
        """A request of a function, which did not come through LocalStack's gateway."""
        context = SimpleNamespace(account_id=DEFAULT_AWS_ACCOUNT_ID, region=region)
        try:
            return dict(getattr(self, operation)(context, **arguments))
        except ServiceException as error:
            raise Error(error.code, str(error.message)) from error

    def _streams(self, context: Any) -> dict[str, Stream]:
        return self._all.setdefault((context.account_id, context.region), {})

    def _find(self, context: Any, name: str | None = None, arn: str | None = None) -> Stream:
        """By name, by ARN or by the ARN of a consumer."""
        wanted = name or (arn or "").split(":stream/")[-1].split("/")[0]
        stream = self._streams(context).get(wanted)
        if stream is None:
            _not_found(f"Stream {wanted} under account {context.account_id} not found.")
        return stream

    def _shard(self, stream: Stream, shard_id: str) -> Shard:
        try:
            return stream.shard(shard_id)
        except NotFound as error:
            _not_found(str(error))

    # Streams.

    def create_stream(
        self,
        context: Any,
        stream_name: str,
        shard_count: int | None = None,
        stream_mode_details: Any = None,
        tags: dict[str, str] | None = None,
        **_: Any,
    ) -> None:
        mode = (stream_mode_details or {}).get("StreamMode", "PROVISIONED")
        if stream_name in self._streams(context):
            raise ResourceInUseException(f"Stream {stream_name} under account {context.account_id} already exists.")
        arn = f"arn:aws:kinesis:{context.region}:{context.account_id}:stream/{stream_name}"
        count = ON_DEMAND_SHARDS if mode == "ON_DEMAND" else shard_count or 1
        self._streams(context)[stream_name] = Stream(stream_name, arn, mode, count, tags=dict(tags or {}))

    def delete_stream(
        self, context: Any, stream_name: str | None = None, stream_arn: str | None = None, **_: Any
    ) -> None:
        del self._streams(context)[self._find(context, stream_name, stream_arn).name]

    def describe_stream(
        self, context: Any, stream_name: str | None = None, stream_arn: str | None = None, **_: Any
    ) -> Answer:
        stream = self._find(context, stream_name, stream_arn)
        shards = [shard.describe() for shard in stream.shards]
        return {"StreamDescription": stream.describe() | {"Shards": shards, "HasMoreShards": False}}

    def describe_stream_summary(
        self, context: Any, stream_name: str | None = None, stream_arn: str | None = None, **_: Any
    ) -> Answer:
        stream = self._find(context, stream_name, stream_arn)
        counts = {"OpenShardCount": len(stream.shards), "ConsumerCount": len(stream.consumers)}
        return {"StreamDescriptionSummary": stream.describe() | counts}

    def list_streams(self, context: Any, **_: Any) -> Answer:
        return {"StreamNames": sorted(self._streams(context)), "HasMoreStreams": False}

    def list_shards(
        self, context: Any, stream_name: str | None = None, stream_arn: str | None = None, **_: Any
    ) -> Answer:
        return {"Shards": [shard.describe() for shard in self._find(context, stream_name, stream_arn).shards]}

    # Settings of a stream.

    def start_stream_encryption(
        self,
        context: Any,
        encryption_type: str,
        key_id: str,
        stream_name: str | None = None,
        stream_arn: str | None = None,
        **_: Any,
    ) -> None:
        stream = self._find(context, stream_name, stream_arn)
        stream.encryption, stream.key = encryption_type, key_id

    def stop_stream_encryption(
        self, context: Any, stream_name: str | None = None, stream_arn: str | None = None, **_: Any
    ) -> None:
        stream = self._find(context, stream_name, stream_arn)
        stream.encryption, stream.key = "NONE", None

    def increase_stream_retention_period(
        self,
        context: Any,
        retention_period_hours: int,
        stream_name: str | None = None,
        stream_arn: str | None = None,
        **_: Any,
    ) -> None:
        self._find(context, stream_name, stream_arn).retention_hours = retention_period_hours

    decrease_stream_retention_period = increase_stream_retention_period

    def update_stream_mode(self, context: Any, stream_arn: str, stream_mode_details: Any, **_: Any) -> None:
        self._find(context, arn=stream_arn).mode = stream_mode_details["StreamMode"]

    def add_tags_to_stream(
        self,
        context: Any,
        tags: dict[str, str],
        stream_name: str | None = None,
        stream_arn: str | None = None,
        **_: Any,
    ) -> None:
        self._find(context, stream_name, stream_arn).tags |= tags

    def list_tags_for_stream(
        self, context: Any, stream_name: str | None = None, stream_arn: str | None = None, **_: Any
    ) -> Answer:
        tags = self._find(context, stream_name, stream_arn).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()], "HasMoreTags": False}

    # Records.

    def put_record(
        self,
        context: Any,
        data: bytes,
        partition_key: str,
        stream_name: str | None = None,
        explicit_hash_key: str | None = None,
        stream_arn: str | None = None,
        **_: Any,
    ) -> Answer:
        _check(data, partition_key)
        stream = self._find(context, stream_name, stream_arn)
        return stream.put(data, partition_key, explicit_hash_key) | {"EncryptionType": stream.encryption}

    def put_records(
        self,
        context: Any,
        records: list[Any],
        stream_name: str | None = None,
        stream_arn: str | None = None,
        **_: Any,
    ) -> Answer:
        stream = self._find(context, stream_name, stream_arn)
        if len(records) > MOST_PUT_RECORDS:
            raise InvalidArgumentException(f"1 validation error: at most {MOST_PUT_RECORDS} records")
        if sum(_check(record["Data"], record["PartitionKey"]) for record in records) > MOST_PUT_BYTES:
            raise InvalidArgumentException("Records size exceeds 10 MB limit")
        put = [stream.put(record["Data"], record["PartitionKey"], record.get("ExplicitHashKey")) for record in records]
        return {"FailedRecordCount": 0, "Records": put, "EncryptionType": stream.encryption}

    def get_shard_iterator(
        self,
        context: Any,
        shard_id: str,
        shard_iterator_type: str,
        stream_name: str | None = None,
        starting_sequence_number: str | None = None,
        timestamp: Any = None,
        stream_arn: str | None = None,
        **_: Any,
    ) -> Answer:
        stream = self._find(context, stream_name, stream_arn)
        shard = self._shard(stream, shard_id)
        match shard_iterator_type:
            case "TRIM_HORIZON":
                position = 0
            case "LATEST":
                position = len(shard.records)
            case "AT_SEQUENCE_NUMBER":
                position = shard.position(starting_sequence_number or "0")
            case "AFTER_SEQUENCE_NUMBER":
                position = shard.position(starting_sequence_number or "0") + 1
            case _:
                position = shard.position_at(timestamp)
        return {"ShardIterator": iterator(stream, shard, position)}

    def get_records(self, context: Any, shard_iterator: str, limit: int | None = None, **_: Any) -> Answer:
        name, shard_id, position = resolve(shard_iterator)
        stream = self._find(context, name)
        shard = self._shard(stream, shard_id)
        records = shard.read(position, limit or MOST_RECORDS)
        end = position + len(records)
        behind = 0
        if end < len(shard.records):
            behind = int((now() - shard.records[end]["ApproximateArrivalTimestamp"]).total_seconds() * 1000)
        return {
            "Records": records,
            "NextShardIterator": iterator(stream, shard, end),
            "MillisBehindLatest": behind,
        }

    def wait(self, context: Any, shard_iterator: str, seconds: float) -> None:
        """Returns when there is a record at the iterator, after so many seconds at the latest. Not of AWS."""
        name, shard_id, position = resolve(shard_iterator)
        self._shard(self._find(context, name), shard_id).wait(position, seconds)

    # Consumers with enhanced fan-out. A mapping reads by a consumer's ARN as it reads by the stream's.

    def register_stream_consumer(self, context: Any, stream_arn: str, consumer_name: str, **_: Any) -> Answer:
        stream = self._find(context, arn=stream_arn)
        if consumer_name in stream.consumers:
            raise ResourceInUseException(f"Consumer {consumer_name} already exists.")
        return {"Consumer": stream.register(consumer_name)}

    def _consumer(
        self, context: Any, stream_arn: str | None, consumer_name: str | None, consumer_arn: str | None
    ) -> tuple[Stream, str]:
        stream = self._find(context, arn=stream_arn or consumer_arn)
        name = consumer_name or (consumer_arn or "").split("/consumer/")[-1].split(":")[0]
        if name not in stream.consumers:
            _not_found(f"Consumer {name} not found.")
        return stream, name

    def describe_stream_consumer(
        self,
        context: Any,
        stream_arn: str | None = None,
        consumer_name: str | None = None,
        consumer_arn: str | None = None,
        **_: Any,
    ) -> Answer:
        stream, name = self._consumer(context, stream_arn, consumer_name, consumer_arn)
        return {"ConsumerDescription": stream.consumers[name] | {"StreamARN": stream.arn}}

    def deregister_stream_consumer(
        self,
        context: Any,
        stream_arn: str | None = None,
        consumer_name: str | None = None,
        consumer_arn: str | None = None,
        **_: Any,
    ) -> None:
        stream, name = self._consumer(context, stream_arn, consumer_name, consumer_arn)
        del stream.consumers[name]

    def list_stream_consumers(self, context: Any, stream_arn: str, **_: Any) -> Answer:
        return {"Consumers": list(self._find(context, arn=stream_arn).consumers.values())}


def _not_found(message: str) -> Never:
    raise ResourceNotFoundException(message)


def _check(data: bytes, key: str) -> int:
    """The size of a record that is not too large."""
    size = len(data) + len(key.encode())
    if size > MOST_RECORD_BYTES:
        raise InvalidArgumentException("Record is larger than 1 MiB")
    return size


@aws_provider(api="kinesis", name="native")
def kinesis() -> Service:
    """What LocalStack calls for PROVIDER_OVERRIDE_KINESIS=native."""
    return Service.for_provider(NativeKinesis())
