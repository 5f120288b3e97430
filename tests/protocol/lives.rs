//! What each actor has met so far, and what it does next. Lives that begin alike share their
//! beginning, and every step is run once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    functions::{Does, Event, run},
    setups::{Role, Setup},
};

/// The number of a life. Zero to the number of actors: nothing has happened to that actor.
pub(crate) type Life = u32;

#[derive(Default)]
pub(crate) struct Lives(Mutex<Tree>);

#[derive(Default)]
struct Tree {
    nodes: Vec<Node>,
    after: HashMap<(Life, Event), Life>,
}

struct Node {
    role: Role,
    /// The life before the last event, and that event.
    last: Option<(Life, Event)>,
    does: Does,
}

impl Lives {
    pub(crate) fn new(roles: &[Role]) -> Self {
        let node = |role: &Role| Node { role: *role, last: None, does: Does::Sleeps };
        let nodes = roles.iter().map(node).collect();
        Self(Mutex::new(Tree { nodes, after: HashMap::new() }))
    }

    /// The life that continues `life` by `event`.
    pub(crate) fn after(&self, setup: &Setup, life: Life, event: Event) -> Life {
        let tree = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (life, event);
        if let Some(known) = tree.after.get(&key) {
            return *known;
        }
        let role = tree.nodes[life as usize].role;
        let mut events = vec![key.1.clone()];
        let mut before = life;
        while let Some((earlier, event)) = &tree.nodes[before as usize].last {
            events.push(event.clone());
            before = *earlier;
        }
        events.reverse();
        let does = run(setup, role, &events);
        let new = Life::try_from(tree.nodes.len()).expect("not so many lives");
        tree.nodes.push(Node { role, last: Some(key.clone()), does });
        tree.after.insert(key, new);
        new
    }

    pub(crate) fn does(&self, life: Life) -> Does {
        let tree = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tree.nodes[life as usize].does.clone()
    }

    /// How many steps of functions were run.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).after.len()
    }
}
