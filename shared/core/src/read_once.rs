//! What is read of a record, kept for all that read it in one process.
//!
//! On AWS each function receives a record in an event of its own. In the local system and in the simulation
//! models, rendezvous, decoy and monitor read the very same record.

use std::sync::{Arc, OnceLock};

use crate::{
    error::Invalid,
    message::{Envelope, RequestMessage, ScoreMessage, ScoreReader},
};

/// What the first reader of a record has read: the others need not read it again. Nothing is kept of a record
/// that cannot be read.
#[derive(Debug, Default)]
pub struct ReadOnce(OnceLock<Read>);

#[derive(Debug)]
enum Read {
    Envelope(Arc<Envelope>),
    Score(Box<ScoreMessage>),
}

impl ReadOnce {
    /// [`RequestMessage::parse`]. The envelope is kept; the rest is in the record itself.
    pub fn request<'a>(&self, record: &'a [u8]) -> Result<RequestMessage<'a>, Invalid> {
        RequestMessage::parse_with(record, |raw| {
            if let Some(Read::Envelope(envelope)) = self.0.get() {
                return Ok(envelope.clone());
            }
            let envelope = Arc::new(Envelope::parse(raw)?);
            // Another reader may have been quicker. It has read the same.
            let _ = self.0.set(Read::Envelope(envelope.clone()));
            Ok(envelope)
        })
    }

    /// [`ScoreReader::read_live`].
    pub fn live_score<'a>(
        &self,
        record: &'a [u8],
        reader: &mut ScoreReader<'a>,
    ) -> Result<ScoreMessage, Invalid> {
        if let Some(Read::Score(message)) = self.0.get() {
            return Ok((**message).clone());
        }
        let message = reader.read_live(record)?;
        let _ = self.0.set(Read::Score(Box::new(message.clone())));
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Json, conformance::samples};

    #[test]
    fn those_who_read_a_record_share_what_the_first_has_read() {
        let envelope = samples::envelope(&samples::endpoint());
        let record = RequestMessage::write(&envelope, &Json::parse("1").unwrap()).unwrap();
        let read = ReadOnce::default();
        let [first, second] = [(); 2].map(|()| read.request(&record).unwrap());
        assert_eq!(first.envelope, envelope);
        assert!(Arc::ptr_eq(&first.envelope, &second.envelope));

        let score = samples::score("a@1", "1");
        let record = ScoreMessage::write(first.raw_envelope, &score, None).unwrap();
        let (read, readers) = (ReadOnce::default(), [(); 2].map(|()| ScoreReader::default()));
        let [first, second] =
            readers.map(|mut reader| read.live_score(&record, &mut reader).unwrap());
        assert_eq!((&first.envelope, &first.score), (&envelope, &score));
        assert!(Arc::ptr_eq(&first.envelope, &second.envelope));
        assert_eq!(first.score, second.score);
    }

    #[test]
    fn a_record_is_read_as_what_its_reader_wants() {
        let read = ReadOnce::default();
        let garbage = Bytes::from("{}");
        assert!(read.request(&garbage).is_err() && read.request(&garbage).is_err());
        let envelope = samples::envelope(&samples::endpoint());
        let record = RequestMessage::write(&envelope, &Json::parse("1").unwrap()).unwrap();
        read.request(&record).unwrap();
        assert!(read.live_score(&record, &mut ScoreReader::default()).is_err());
    }
}
