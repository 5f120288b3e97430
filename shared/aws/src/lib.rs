//! Rendezvous on AWS. Here: what a batch of stream records is, and what is told to Lambda about it.

pub mod batch;
