//! The ports on DynamoDB: one module, and one table, each.

pub(crate) mod endpoints;
pub(crate) mod ledger;
pub(crate) mod outcomes;
mod pace;
pub(crate) mod windows;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue as SdkValue;

use crate::items::Attributes;

/// An item as the SDK has it.
type SdkItem = HashMap<String, SdkValue>;

fn to_sdk(item: Attributes) -> SdkItem {
    item.into_iter().map(|(name, value)| (name, value.into())).collect()
}

fn from_sdk(item: SdkItem) -> Attributes {
    item.into_iter().map(|(name, value)| (name, value.into())).collect()
}
