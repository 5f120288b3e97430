use std::{borrow::Cow, sync::Arc};

use rendezvous_core::{Decision, Envelope, Invalid, Mailbox, RequestId};
use serde_dynamo::Item;

use crate::items::ledger;

/// An item as a change carries it: before the change, after it, or only its key. Empty where there was no
/// item, or where the stream does not carry it.
#[derive(Clone, Debug)]
pub enum Image<'a> {
    /// As the event has it.
    Item(Item),
    /// The item of a mailbox in the memory of this process. It is written only where it is asked for.
    Mailbox {
        mailbox: &'a Mailbox,
        /// See [`ledger::EXPIRES_AT`].
        expires_at: i64,
    },
    /// The key of such an item.
    MailboxKey(RequestId),
}

impl Image<'_> {
    pub fn item(&self) -> Cow<'_, Item> {
        match self {
            Self::Item(item) => Cow::Borrowed(item),
            Self::Mailbox { mailbox, expires_at } => {
                let mut item = ledger::item(mailbox);
                ledger::EXPIRES_AT.put(expires_at, &mut item);
                Cow::Owned(item)
            }
            Self::MailboxKey(id) => Cow::Owned(ledger::key(*id)),
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Item(item) if item.is_empty())
    }

    /// The id of the request whose mailbox, or whose mailbox's key, this is.
    pub fn request_id(&self) -> Result<RequestId, Invalid> {
        match self {
            Self::Item(item) => ledger::ID.get(item),
            Self::Mailbox { mailbox, .. } => Ok(mailbox.envelope.id),
            Self::MailboxKey(id) => Ok(*id),
        }
    }

    /// The envelope of a mailbox.
    pub fn envelope(&self) -> Result<Arc<Envelope>, Invalid> {
        match self {
            Self::Mailbox { mailbox, .. } => Ok(mailbox.envelope.clone()),
            other => Ok(Arc::new(ledger::ENVELOPE.get(&other.item())?)),
        }
    }

    /// Whether there is a decision. It may be unreadable.
    pub fn is_decided(&self) -> bool {
        match self {
            Self::Mailbox { mailbox, .. } => mailbox.decision.is_some(),
            other => ledger::DECISION.is_in(&other.item()),
        }
    }

    /// The decision of a mailbox.
    pub fn decision(&self) -> Result<Option<Arc<Decision>>, Invalid> {
        match self {
            Self::Mailbox { mailbox, .. } => Ok(mailbox.decision.clone()),
            other => Ok(ledger::DECISION.find(&other.item())?.map(Arc::new)),
        }
    }
}

impl From<Item> for Image<'_> {
    fn from(item: Item) -> Self {
        Self::Item(item)
    }
}

impl Default for Image<'_> {
    fn default() -> Self {
        Self::Item(Item::default())
    }
}

/// Two are equal when their items are.
impl PartialEq for Image<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.item() == other.item()
    }
}

#[cfg(test)]
mod tests {
    use rendezvous_core::{Write, Written, conformance::samples};

    use super::*;

    fn same(mailbox: &Mailbox) {
        let image = Image::Mailbox { mailbox, expires_at: 7 };
        let item = Image::Item(image.item().into_owned());
        assert_eq!(image, item);
        assert_eq!(ledger::mailbox(&item.item()).as_ref(), Ok(mailbox));
        assert_eq!(ledger::EXPIRES_AT.get(&item.item()), Ok(7));
        let id = mailbox.envelope.id;
        for image in [&image, &item] {
            assert_eq!(image.request_id(), Ok(id));
            assert_eq!(image.envelope().as_ref(), Ok(&mailbox.envelope));
            assert_eq!(image.is_decided(), mailbox.decision.is_some());
            assert_eq!(image.decision().as_ref(), Ok(&mailbox.decision));
            assert!(!image.is_empty());
        }
        let key = Image::MailboxKey(id);
        assert_eq!(key.request_id(), Ok(id));
        assert_eq!(key, Image::Item(ledger::key(id)));
    }

    #[test]
    fn a_mailbox_in_memory_tells_what_its_item_tells() {
        let endpoint = samples::endpoint();
        let envelope = samples::envelope(&endpoint);
        let filed = Write::file(&envelope, &[samples::score("a@1", "1")]);
        let Written::Applied(open) = filed.apply(None) else { panic!("not filed") };
        same(&open);
        let decision = samples::fallback(&endpoint, &envelope);
        let Written::Applied(decided) = decision.apply(Some(&open)) else { panic!("not decided") };
        assert!(decided.decision.is_some());
        same(&decided);
    }

    #[test]
    fn an_image_that_the_stream_does_not_carry_is_empty() {
        let image = Image::default();
        assert!(image.is_empty() && !image.is_decided());
        assert!(image.request_id().is_err() && image.envelope().is_err());
        assert_eq!(image.decision(), Ok(None));
    }
}
