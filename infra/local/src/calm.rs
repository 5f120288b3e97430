//! What fails again and again is told a few times a minute, not each time.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rendezvous_core::{Timestamp, now};
use tracing::{Event, Subscriber, callsite::Identifier};
use tracing_subscriber::layer::{Context, Layer};

/// So many events of one place in the code are shown in so long a time.
const EVENTS: usize = 5;
const TIME: Duration = Duration::from_mins(1);

/// Discards the other events.
#[derive(Debug, Default)]
pub struct Calm(Mutex<HashMap<Identifier, (Timestamp, usize)>>);

impl Calm {
    fn shows(&self, place: Identifier, now: Timestamp) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, shown) = places.entry(place).or_insert((now, 0));
        if now.since(*since) >= TIME {
            (*since, *shown) = (now, 0);
        }
        *shown += 1;
        *shown <= EVENTS
    }
}

impl<S: Subscriber> Layer<S> for Calm {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.shows(event.metadata().callsite(), now())
    }
}

#[cfg(test)]
mod tests {
    use rendezvous_core::clock;
    use tracing_subscriber::{layer::SubscriberExt, registry};

    use super::*;

    /// Counts what it gets.
    #[derive(Default)]
    struct Count(std::sync::Arc<Mutex<usize>>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_place_is_shown_five_times_a_minute() {
        let count = Count::default();
        let shown = count.0.clone();
        let subscriber = registry().with(count).with(Calm::default());
        let _guard = tracing::subscriber::set_default(subscriber);
        clock::simulate(Timestamp::from_micros(0));
        let fail = || tracing::error!("a place");
        (0..10).for_each(|_| fail());
        tracing::error!("another place");
        assert_eq!(*shown.lock().unwrap(), 6);
        tokio::time::advance(TIME).await;
        (0..10).for_each(|_| fail());
        assert_eq!(*shown.lock().unwrap(), 11);
    }
}
