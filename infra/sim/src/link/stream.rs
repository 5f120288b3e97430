use std::hash::{DefaultHasher, Hash, Hasher};

use rendezvous_core::{
    Timestamp, Unavailable, now,
    ports::{Record, Rejected, Stream},
};

use super::{Link, pause};
use crate::{actor::Role, fault::Fault, step::Step, weather::Occasion};

impl<P: Stream> Link<P> {
    /// Puts all records at the port, whatever happens.
    async fn put_all(
        &self,
        occasion: Option<Occasion<'_>>,
        records: Vec<Record>,
        until: Timestamp,
    ) -> Result<(), Rejected> {
        let all = records.len();
        let name = || {
            let keys: Vec<_> = records.iter().map(|record| record.key.as_str()).collect();
            format!("stream.put {} until {until}", keys.join(" "))
        };
        let make = || {
            let (port, records) = (self.port.clone(), records.clone());
            let (actor, witness) = (self.actor.clone(), self.conditions.witness.clone());
            async move {
                let put = records.clone();
                port.put(records, until).await?;
                if let Some(witness) = &witness {
                    witness.puts(&actor, &put);
                }
                Ok(())
            }
        };
        let fail = |cause: Unavailable| Rejected { indexes: (0..all).collect(), cause };
        self.call(occasion, name, make, fail).await
    }

    /// `PutRecords` takes a part of the records; the rest is put again, or rejected.
    async fn put_in_part(
        &self,
        occasion: Occasion<'_>,
        records: Vec<Record>,
        until: Timestamp,
    ) -> Result<(), Rejected> {
        self.say(Fault::PartialPut);
        let detail = |index: usize| 10 + u64::try_from(index).unwrap_or(0);
        let taken = |index: &usize| occasion.draw(Fault::PartialPut, detail(*index)) < 0.5;
        let rest: Vec<usize> = (0..records.len()).filter(|index| !taken(index)).collect();
        let mut part = Vec::with_capacity(records.len());
        let mut left = Vec::with_capacity(rest.len());
        for (index, record) in records.into_iter().enumerate() {
            if rest.contains(&index) { left.push(record) } else { part.push(record) }
        }
        if !part.is_empty() {
            let put = self.put_all(Some(occasion), part, until).await;
            // Positions in the part are not positions in the whole.
            put.map_err(|rejected| Rejected {
                indexes: (0..left.len() + rejected.indexes.len()).collect(),
                ..rejected
            })?;
        }
        let again = RETRY_PAUSE_MS * (1.0 + occasion.draw(Fault::PartialPut, 2));
        let pause_ms = std::time::Duration::from_secs_f64(again / 1e3);
        if left.is_empty()
            || (occasion.draw(Fault::PartialPut, 1) < 0.5 && now() + pause_ms < until)
        {
            pause(pause_ms).await;
            if left.is_empty() {
                return Ok(());
            }
            let put = self.put_all(None, left, until).await;
            return put.map_err(|rejected| Rejected { indexes: rest, ..rejected });
        }
        let cause = Unavailable::throttled("stream", "in part");
        Err(Rejected { indexes: rest, cause })
    }
}

/// What a lying model sends in addition to a message: garbage, a message of a later version, one with
/// another score, or one with wrong times.
fn lie(record: &Record, kind: f64) -> Record {
    let text = String::from_utf8_lossy(&record.data);
    let data = match kind {
        ..0.25 => "garbage".to_owned(),
        ..0.5 => text.replacen("\"v\":1", "\"v\":2", 1),
        ..0.75 => text.replacen("\"p\":", "\"p\":1", 1),
        _ => text
            .replacen("_us\":1", "_us\":9", 4)
            .replacen("received_us\":9", "received_us\":1", 1)
            .replacen("deadline_us\":9", "deadline_us\":1", 1),
    };
    Record { data: data.into(), ..record.clone() }
}

const RETRY_PAUSE_MS: f64 = 10.0;

impl<P: Stream> Link<P> {
    /// A lying model sends one more message, before or after the others; its runtime hears nothing of
    /// that.
    async fn put_lying(
        &self,
        occasion: Occasion<'_>,
        records: Vec<Record>,
        until: Timestamp,
    ) -> Result<(), Rejected> {
        self.say(Fault::LyingModel);
        let draw = |detail| occasion.draw(Fault::LyingModel, detail);
        let lie = vec![lie(&records[0], draw(1))];
        let first = draw(2) < 0.5;
        if first {
            self.put_all(None, lie.clone(), until).await.ok();
        }
        let put = self.put_all(Some(occasion), records, until).await;
        if !first {
            self.put_all(None, lie, until).await.ok();
        }
        put
    }
}

impl<P: Stream> Stream for Link<P> {
    async fn put(&self, records: Vec<Record>, until: Timestamp) -> Result<(), Rejected> {
        if self.is_plain() {
            return self.port.put(records, until).await;
        }
        if let Some(witness) = &self.conditions.witness {
            witness.sends(&self.actor, &records);
        }
        let step = if self.actor.role() == Role::Ingress { Step::Send } else { Step::SendScores };
        let mut hasher = DefaultHasher::new();
        self.actor.function().hash(&mut hasher);
        for record in &records {
            record.key.as_str().hash(&mut hasher);
        }
        let occasion = self.weather().map(|weather| weather.occasion(step, hasher.finish()));
        let put = match occasion {
            Some(occasion) if occasion.meets(Fault::PartialPut) => {
                self.put_in_part(occasion, records, until).await
            }
            Some(occasion) if !records.is_empty() && occasion.meets(Fault::LyingModel) => {
                self.put_lying(occasion, records, until).await
            }
            occasion => self.put_all(occasion, records, until).await,
        };
        if let (Some(witness), Ok(())) = (&self.conditions.witness, &put) {
            witness.sent(&self.actor);
        }
        put
    }
}
