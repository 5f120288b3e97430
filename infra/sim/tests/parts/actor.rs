//! Actors have clocks and draws of their own, are frozen, and die.

use std::{pin::pin, time::Duration};

use rendezvous_core::{clock, now, random};
use rendezvous_sim::{Actor, Role};
use tokio::time::{Instant, sleep};

fn actor(name: &str) -> Actor {
    Actor::new(Role::Other, name)
}

#[tokio::test(start_paused = true)]
async fn actors_that_take_turns_keep_their_own_clocks_and_draws() {
    clock::simulate(now());
    let _seed = random::seed(1);
    let (start, second) = (now(), Duration::from_secs(1));
    let (one, two) = (actor("one"), actor("two"));
    two.set_clock_ahead(-5_000_000);
    let work = async || {
        sleep(second).await;
        (random::bytes::<8>("id", ""), random::bytes::<8>("id", "x"), now())
    };
    let (of_one, of_two) = (pin!(work()), pin!(work()));
    let (a, b) = tokio::join!(one.run(of_one), two.run(of_two));
    assert!(a.0 != b.0 && a.1 != b.1);
    assert_eq!((a.2, b.2), (start + second, start + second - 5 * second));
    let again = actor("one").run(pin!(work())).await;
    assert_eq!(again.1, a.1, "a draw depends on the actor's name and the subject");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_actor_goes_on_where_it_was_and_a_dead_one_does_not() {
    let one = actor("one");
    let start = Instant::now();
    let work = pin!(async {
        sleep(Duration::from_millis(10)).await;
        let before = start.elapsed();
        one.freeze(Duration::from_mins(2));
        tokio::task::yield_now().await;
        (before, start.elapsed())
    });
    let (before, after) = one.run(work).await;
    assert_eq!(before, Duration::from_millis(10));
    assert_eq!(after, before + Duration::from_mins(2));
    assert_eq!(one.disturbances(), (1, 0));
    let dead = pin!(one.die());
    tokio::select! {
        biased;
        () = one.run(dead) => panic!("it goes on"),
        () = one.died() => {}
    }
}
