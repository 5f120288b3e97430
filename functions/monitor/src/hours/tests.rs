//! Minutes and hours, merged together as a run does.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    clock::simulate,
    conformance::samples,
    memory::{MemoryEndpoints, MemoryLedger, MemoryWindows},
    now,
    ports::NoTelemetry,
};
use rendezvous_evidence::window::merged;
use tokio::time::sleep;

use super::*;
use crate::minutes::LATE;

const MINUTE: Duration = Duration::from_mins(1);

type InMemory = Monitor<MemoryEndpoints, MemoryLedger, MemoryWindows, NoTelemetry>;

fn monitor() -> InMemory {
    simulate(now());
    let keep = Duration::from_hours(24);
    Monitor::new(Arc::default(), Arc::default(), Arc::default(), NoTelemetry.into(), keep)
}

fn endpoint() -> EndpointName {
    samples::endpoint().name
}

/// A window of a batch: so many scores of a model in an arm.
fn window(minute: Minute, part: &str, batch: &str, scores: u32) -> Entry {
    let mut window = Window::new(u64::from(scores));
    (0..scores).for_each(|_| window.score(MINUTE, Some(0.5)));
    let key =
        EntryKey { series: series(&endpoint(), MODELS), minute, part: format!("{part}{batch}") };
    Entry { key, body: to_bytes(&window).unwrap().into(), expires: None }
}

/// How many entries there are of these minutes, and how many scores they have.
async fn read_all(monitor: &InMemory, minutes: &Range<Minute>) -> (usize, u64) {
    let merged_minutes = MergedMinutes::find(&*monitor.windows, &endpoint()).await.unwrap();
    let entries = merged_minutes.read(&*monitor.windows, MODELS, minutes).await.unwrap();
    let window: Option<Window> = merged(entries.iter().map(|entry| &entry.body)).unwrap();
    (entries.len(), window.map_or(0, |window| window.scored()))
}

async fn run(monitor: &InMemory) {
    let (minutes, late) = monitor.merge_minutes(&endpoint()).await.unwrap();
    monitor.merge_hours(&endpoint(), &minutes, &late).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn merged_minutes_say_what_their_batches_said_whichever_part_of_a_range_they_are() {
    let monitor = monitor();
    let first = Minute::of(now());
    run(&monitor).await;
    let minutes = first..first.plus(20);
    for number in 0..20 {
        let minute = Minute::of(now());
        for batch in ["x", "y", "z"] {
            let windows = ["1/main/a@1/", "1/main/b@1/", "2/main/a@1/"]
                .map(|part| window(minute, part, batch, number + 1));
            monitor.put_windows(windows.to_vec()).await.unwrap();
        }
        sleep(MINUTE).await;
        run(&monitor).await;
    }
    let scores = |minutes: Range<u32>| minutes.map(|number| u64::from(number + 1) * 9).sum();
    // The last three are not merged, and the one before was merged last.
    assert_eq!(read_all(&monitor, &minutes).await, (16 * 3 + 4 * 9, scores(0..20)));
    let within = first.plus(3)..first.plus(5);
    assert_eq!(read_all(&monitor, &within).await, (2 * 3, scores(3..5)));
    let last = first.plus(18)..first.plus(30);
    assert_eq!(read_all(&monitor, &last).await, (2 * 9, scores(18..20)));
    // Before the first run, nothing was merged.
    let old = window(first.minus(9), "1/main/a@1/", "x", 7);
    monitor.windows.put(vec![old]).await.unwrap();
    let (entries, all) = read_all(&monitor, &(first.minus(30)..first.plus(1))).await;
    assert_eq!((entries, all), (1 + 3, 7 + scores(0..1)));
}

#[tokio::test(start_paused = true)]
async fn windows_that_come_late_are_in_their_minute_and_their_hour() {
    let monitor = monitor();
    run(&monitor).await;
    sleep(MINUTE * 60).await;
    let minute = hour_of_minute(Minute::of(now()));
    let hour = minute..minute.plus(HOUR);
    monitor.put_windows(vec![window(minute, "1/main/a@1/", "x", 1)]).await.unwrap();
    sleep(MINUTE * 60).await;
    // A run merges an hour of minutes. Two of them reach the end of this hour, and three do if the test begins
    // in the first minutes of an hour.
    for _ in 0..3 {
        run(&monitor).await;
        sleep(MINUTE * 10).await;
    }
    let of_hours = async || {
        let hours = monitor.windows.read(&series(&endpoint(), HOURS), hour.clone(), 9).await;
        Merged::of_hours(&hours.unwrap()).models.values().map(Window::scored).sum::<u64>()
    };
    assert_eq!((read_all(&monitor, &hour).await, of_hours().await), ((1, 1), 1));
    // Two batches, one of them twice.
    for (batch, scores) in [("y", 2), ("z", 4), ("z", 4)] {
        let late = window(minute, "1/main/a@1/", batch, scores);
        monitor.put_windows(vec![late]).await.unwrap();
    }
    assert_eq!(read_all(&monitor, &hour).await, (1, 1), "until the next run");
    sleep(MINUTE * 2).await;
    run(&monitor).await;
    assert_eq!((read_all(&monitor, &hour).await, of_hours().await), ((1, 7), 7));
    let (of_marks, until) = (series(&endpoint(), LATE), hour.end.plus(HOUR));
    let marks = monitor.windows.read(&of_marks, Minute::FIRST..until, 9).await;
    assert_eq!(marks.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn late_minutes_beyond_those_of_one_run_are_merged_by_the_next() {
    let monitor = monitor();
    let first = Minute::of(now());
    run(&monitor).await;
    sleep(MINUTE * 80).await;
    run(&monitor).await;
    run(&monitor).await;
    let minutes = first..first.plus(70);
    for number in 0..70 {
        let late = window(first.plus(number), "1/main/a@1/", "x", 1);
        monitor.put_windows(vec![late]).await.unwrap();
    }
    sleep(MINUTE * 2).await;
    let mut merged = Vec::new();
    for _ in 0..2 {
        run(&monitor).await;
        merged.push(read_all(&monitor, &minutes).await);
    }
    assert_eq!(merged, [(60, 60), (70, 70)]);
}
