//! Promotion by configuration alone, while requests flow.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use rendezvous_aws::{Aws, DynamoEndpoints};
use rendezvous_core::{
    Arm, Configuration, EndpointName, ModelId, Provenance, ports::EndpointTable,
};
use rendezvous_tests_aws::Reply;
use rendezvousctl::{
    change::{Change, Planned, plan},
    failure::Failure,
};
use tokio::time::{Instant, sleep};

use crate::{CLIENTS, REQUESTS, System};

/// How many requests are asked while configurations change.
const ASKED: usize = 1_000;

/// A configuration whose schedule could have been in force.
const SCHEDULE: &str = "../../infra/ctl/examples/flight-delay.json";

/// Within how long a new configuration takes effect: ingress may use a pointer for one second.
const EFFECT: Duration = Duration::from_secs(2);

/// An answer, and when its request was sent.
struct Answered {
    sent: Instant,
    key: String,
    reply: Reply,
}

/// A command that was run when so many requests had been answered.
struct Step {
    after: usize,
    command: &'static [&'static str],
}

const STEPS: [Step; 3] = [
    Step {
        after: 250,
        command: &["promote", "flight-delay", "gbt@1", "--share", "50%", "-m", "try", "--yes"],
    },
    Step { after: 500, command: &["promote", "flight-delay", "gbt@1", "-m", "better", "--yes"] },
    Step { after: 750, command: &["rollback", "flight-delay", "1", "-m", "back", "--yes"] },
];

/// Whoever is asked while a model steps up, in an arm, for all, and down again, gets an answer that is
/// right under exactly one version and arm.
pub(crate) async fn every_answer_around_a_promotion_is_right_under_one_version_and_arm(
    system: &System,
    aws: &Aws,
) {
    println!("a promotion in an arm, for all, and back, during {ASKED} requests");
    system.configure(&["logistic@1", "timetable@1", "prior@1"]);
    sleep(EFFECT).await;
    let first = version(aws).await;
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let clients = (0..CLIENTS).map(|_| ask(system, &next, &answered));
    let (all, published) = tokio::join!(join_all(clients), change(system, &answered));
    let endpoints = aws.endpoints().unwrap();
    let name: EndpointName = "flight-delay".parse().unwrap();
    let mut configurations: BTreeMap<u64, Configuration> = BTreeMap::new();
    for number in first..=first + STEPS.len() as u64 {
        let endpoint = endpoints.version(&name, number).await.unwrap().unwrap();
        configurations.insert(number, endpoint.configuration.clone());
    }
    let mut seen = BTreeSet::new();
    for Answered { sent, key, reply } in all.into_iter().flatten() {
        assert_eq!(reply.status, 200, "{reply:?}");
        let config = reply.body["config"].as_u64().unwrap();
        let configuration = &configurations[&config];
        let arm = configuration.assign(&name, &key.parse().unwrap());
        assert_eq!(reply.text("arm"), arm.as_str(), "{key}: {reply:?}");
        if let Some(model) = reply.body["model"].as_str() {
            let model: ModelId = model.parse().unwrap();
            let schedule = configuration.schedule(&arm);
            assert!(schedule.lists(&model), "{reply:?}");
            let is_champion = *schedule.champion() == model;
            assert_eq!(reply.text("kind") == "champion", is_champion, "{reply:?}");
        }
        // No request that was sent two seconds after a publication has an earlier version.
        let since = published.iter().filter(|published| sent >= **published + EFFECT).count();
        assert!(config >= first + since as u64, "{reply:?}, after {since} publications");
        seen.insert((config, arm));
    }
    let gbt: Arm = "gbt".parse().unwrap();
    let main: BTreeSet<_> = (first..=first + 3).map(|config| (config, Arm::main())).collect();
    assert_eq!(seen, main.into_iter().chain([(first + 1, gbt)]).collect());
    let restored = &configurations[&(first + 3)];
    assert_eq!(restored.schedule(&Arm::main()), configurations[&first].schedule(&Arm::main()));
    of_two_operators_one_wins(&endpoints, &name).await;
}

/// Commands that read the archive, and what they print.
const READ: [(&[&str], &str); 4] = [
    (&["compare", "flight-delay", "gbt@1", "logistic@1"], "flight-delay: gbt@1 against logistic@1"),
    (&["whatif", "flight-delay", "--schedule", SCHEDULE], "decided requests"),
    (&["gaps", "flight-delay"], "pairs of request and model"),
    (&["models", "flight-delay"], "package (sha256)"),
];

/// The commands that read the archive read it in S3.
pub(crate) async fn the_archive_of_the_stack_is_evidence(system: &System) {
    println!("compare, what-if, gaps and models on the stack");
    for (command, words) in READ {
        let printed = system.stack.ctl(command).await;
        println!("{printed}");
        assert!(printed.contains(words), "{printed}");
    }
}

async fn version(aws: &Aws) -> u64 {
    let name = "flight-delay".parse().unwrap();
    aws.endpoints().unwrap().current(&name).await.unwrap().unwrap()
}

async fn ask(system: &System, next: &AtomicUsize, answered: &AtomicUsize) -> Vec<Answered> {
    let mut all = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= ASKED {
            return all;
        }
        let (key, payload) = (format!("customer-{number}"), &system.flights[number].payload);
        let sent = Instant::now();
        let headers = [("Rendezvous-Key", key.as_str())];
        let reply = system.stack.client().await.post(REQUESTS, &headers, payload).await;
        answered.fetch_add(1, Ordering::Relaxed);
        all.push(Answered { sent, key, reply });
    }
}

/// Runs the commands, each when its number of requests has been answered; returns when each was done.
async fn change(system: &System, answered: &AtomicUsize) -> Vec<Instant> {
    let mut published = Vec::new();
    for Step { after, command } in STEPS {
        while answered.load(Ordering::Relaxed) < after {
            sleep(Duration::from_millis(10)).await;
        }
        print!("{}", system.stack.ctl(command).await);
        published.push(Instant::now());
    }
    published
}

async fn of_two_operators_one_wins(endpoints: &DynamoEndpoints, name: &EndpointName) {
    println!("two operators at once");
    let by = |author: &str| Provenance::new(author, "because").unwrap();
    let planned =
        async |change: Change| -> Planned { plan(endpoints, name, change).await.unwrap() };
    let promotes = planned(Change::Promote("mlp@1".parse().unwrap())).await;
    let retires = planned(Change::Retire("timetable@1".parse().unwrap())).await;
    let (one, other) = tokio::join!(
        promotes.publish(endpoints, by("alice")),
        retires.publish(endpoints, by("bob"))
    );
    let (Ok(_), Err(refused)) = (if one.is_ok() { (one, other) } else { (other, one) }) else {
        panic!("both have won or both have lost");
    };
    assert_eq!(refused.code(), 4);
    let Failure::Conflict(what) = refused else { panic!("it is a conflict") };
    assert!(what.contains("was published meanwhile by"), "{what}");
}
