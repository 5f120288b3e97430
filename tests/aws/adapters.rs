//! The ports on AWS, without the functions: in seconds what the deployed test shows in minutes.

#![allow(clippy::unwrap_used, clippy::large_futures, reason = "this is test code")]

mod ports;

use rendezvous_tests_aws::Stack;

#[tokio::test]
#[ignore = "the deployed test does it on its stack"]
async fn every_port_conforms() {
    let stack = Stack::deploy_storage().await;
    let aws = stack.ports();
    ports::every_port_conforms(&stack, &aws).await;
}
