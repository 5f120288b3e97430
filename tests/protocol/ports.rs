//! Ports that suspend at each call, until the checker answers it.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use rendezvous_core::{
    Envelope, Mailbox, RequestId, RequestMessage, Timestamp, Unavailable, Write, Written,
    ports::{Consistency, Ledger, Record, Rejected, Stream, Watch},
};

/// A call of a port that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Read(Strength),
    Write(Arc<Write>),
    /// `seen` is what this watch last returned.
    Watch {
        seen: Option<Arc<Mailbox>>,
        until: Timestamp,
    },
    /// Puts a request with this envelope on the stream `input`.
    Put(Arc<Envelope>),
}

impl Call {
    /// Whether it changes anything.
    pub(crate) fn has_effect(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Put(_))
    }
}

/// [`Consistency`], which a state of the checker can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Strength {
    Eventual,
    Strong,
}

/// What a call gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Mailbox(Option<Arc<Mailbox>>),
    Written(Arc<Written>),
    Taken,
    /// The call may have taken effect.
    Failed,
}

/// The call that waits and its answer.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Content>);

#[derive(Default)]
struct Content {
    /// How many calls were made so far.
    calls: u32,
    waiting: Option<Call>,
    answer: Option<Answer>,
    waker: Option<Waker>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call that waits, and its number.
    pub(crate) fn waiting(&self) -> Option<(u32, Call)> {
        let content = self.lock();
        content.waiting.clone().map(|call| (content.calls, call))
    }

    pub(crate) fn answer(&self, answer: Answer) {
        let mut content = self.lock();
        assert!(content.waiting.is_some(), "no call waits for {answer:?}");
        content.answer = Some(answer);
        if let Some(waker) = content.waker.take() {
            waker.wake();
        }
    }

    async fn call(&self, call: Call) -> Answer {
        {
            let mut content = self.lock();
            assert!(content.waiting.is_none(), "an actor makes one call at a time");
            content.calls += 1;
            content.waiting = Some(call);
        }
        let _waits = Waits(self);
        poll_fn(|cx| {
            let mut content = self.lock();
            content.waker = Some(cx.waker().clone());
            content.answer.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// The time during which a call waits: until it is answered or its caller drops it.
struct Waits<'a>(&'a Slot);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut content = self.0.lock();
        (content.waiting, content.answer, content.waker) = (None, None, None);
    }
}

fn unavailable(dependency: &'static str) -> Unavailable {
    Unavailable::down(dependency, "on purpose")
}

fn unexpected(answer: &impl fmt::Debug) -> ! {
    panic!("{answer:?} answers another call")
}

#[derive(Clone, Default)]
pub(crate) struct ScriptedLedger(pub(crate) Arc<Slot>);

impl ScriptedLedger {
    async fn mailbox(&self, call: Call) -> Result<Option<Arc<Mailbox>>, Unavailable> {
        match self.0.call(call).await {
            Answer::Mailbox(mailbox) => Ok(mailbox),
            Answer::Failed => Err(unavailable("ledger")),
            other => unexpected(&other),
        }
    }
}

impl Ledger for ScriptedLedger {
    async fn read(
        &self,
        _: RequestId,
        consistency: Consistency,
    ) -> Result<Option<Mailbox>, Unavailable> {
        let strength = match consistency {
            Consistency::Eventual => Strength::Eventual,
            Consistency::Strong => Strength::Strong,
        };
        let mailbox = self.mailbox(Call::Read(strength)).await?;
        Ok(mailbox.map(|mailbox| (*mailbox).clone()))
    }

    async fn write(&self, write: &Write) -> Result<Written, Unavailable> {
        match self.0.call(Call::Write(Arc::new(write.clone()))).await {
            Answer::Written(written) => Ok((*written).clone()),
            Answer::Failed => Err(unavailable("ledger")),
            other => unexpected(&other),
        }
    }

    fn watch(&self, _: &Arc<Envelope>) -> impl Watch + '_ {
        ScriptedWatch { ledger: self, seen: None }
    }
}

struct ScriptedWatch<'a> {
    ledger: &'a ScriptedLedger,
    seen: Option<Arc<Mailbox>>,
}

impl Watch for ScriptedWatch<'_> {
    async fn changed(&mut self, until: Timestamp) -> Result<Option<Mailbox>, Unavailable> {
        let call = Call::Watch { seen: self.seen.clone(), until };
        let mailbox = self.ledger.mailbox(call).await?;
        self.seen.clone_from(&mailbox);
        Ok(mailbox.map(|mailbox| (*mailbox).clone()))
    }
}

#[derive(Clone, Default)]
pub(crate) struct ScriptedStream(pub(crate) Arc<Slot>);

impl Stream for ScriptedStream {
    async fn put(&self, records: Vec<Record>, _: Timestamp) -> Result<(), Rejected> {
        let [record] = &records[..] else { panic!("a request is one record") };
        let message = RequestMessage::parse(&record.data).expect("a request message");
        match self.0.call(Call::Put(message.envelope)).await {
            Answer::Taken => Ok(()),
            Answer::Failed => {
                Err(Rejected { indexes: vec![0], cause: unavailable("stream input") })
            }
            other => unexpected(&other),
        }
    }
}
