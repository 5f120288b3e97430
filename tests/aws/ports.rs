//! The ports on AWS pass the suites that their versions in memory pass.

use aws_sdk_kinesis::types::ShardIteratorType;
use bytes::Bytes;
use rendezvous_aws::{Aws, ObjectError};
use rendezvous_core::{Sha256Digest, conformance, ports::Payloads};
use rendezvous_tests_aws::Stack;

pub(crate) async fn every_port_conforms(stack: &Stack, aws: &Aws) {
    println!("the conformance of every port");
    let ledger = aws.ledger().unwrap();
    conformance::ledger(&ledger, ledger.retention()).await;
    conformance::endpoints(&aws.endpoints().unwrap()).await;
    conformance::outcomes(&aws.outcomes().unwrap(), async |table, endpoint, id| {
        table.get(endpoint, id).await.unwrap()
    })
    .await;
    conformance::windows(&aws.windows().unwrap()).await;
    let archive = aws.archive().unwrap();
    conformance::archive(&archive, async |archive, name| archive.get(name).await.unwrap()).await;
    conformance::archive_files(&archive).await;
    conformance::erase(&archive).await;
    conformance::payloads(&aws.payloads().unwrap()).await;
    an_object_is_read_whole(stack, aws).await;
    let (kinesis, input) = (stack.kinesis(), stack.output("InputStream"));
    conformance::stream(&aws.stream("INPUT_STREAM").unwrap(), async |_| {
        streamed(&kinesis, input).await
    })
    .await;
}

/// As an ONNX file in S3 is.
async fn an_object_is_read_whole(stack: &Stack, aws: &Aws) {
    let body = Bytes::from(vec![7; 3 << 20]);
    let (bytes, sha256) = (body.len() as u64, Sha256Digest::of(&body));
    aws.payloads().unwrap().put("payloads/object", body.clone(), sha256).await.unwrap();
    let bucket = stack.output("PayloadBucket");
    let object = |bucket: &str, key: &str| {
        aws.object(format!("s3://{bucket}/payloads/{key}").parse().unwrap())
    };
    assert_eq!(object(bucket, "object").read(bytes).await.unwrap(), body);
    let large = object(bucket, "object").read(bytes - 1).await;
    assert_eq!(large, Err(ObjectError::TooLarge { bytes, at_most: bytes - 1 }));
    assert_eq!(object(bucket, "other").read(bytes).await, Err(ObjectError::NoSuchKey));
    let nowhere = object(&format!("{bucket}-no"), "object").read(bytes).await;
    assert_eq!(nowhere, Err(ObjectError::NoSuchBucket));
}

/// The data of every record on a stream.
async fn streamed(kinesis: &aws_sdk_kinesis::Client, name: &str) -> Vec<Bytes> {
    let shards = kinesis.list_shards().stream_name(name).send().await.unwrap();
    let mut data = Vec::new();
    for shard in shards.shards() {
        let start = kinesis.get_shard_iterator().stream_name(name).shard_id(shard.shard_id());
        let start = start.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
        let mut next = start.shard_iterator;
        while let Some(iterator) = next {
            let read = kinesis.get_records().shard_iterator(iterator).send().await.unwrap();
            data.extend(
                read.records.iter().map(|record| Bytes::copy_from_slice(record.data.as_ref())),
            );
            next = read.next_shard_iterator.filter(|_| !read.records.is_empty());
        }
    }
    data
}
