//! The steps of the protocol: every invocation of a function and every call that a function makes.

use crate::actor::Role;

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// A step of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Step {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Step {
            pub const ALL: &[Self] = &[$(Self::$name),+];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

steps! {
    /// Ingress is asked.
    Ask = "ingress: is asked",
    /// Ingress is asked for the state of a request.
    Read = "ingress: is read",
    /// Ingress is told an outcome.
    Report = "ingress: is told",
    /// Ingress reads the endpoint's configuration.
    IngressEndpoint = "ingress: endpoint",
    /// Ingress reads the secret for idempotency keys.
    Secret = "ingress: secret",
    /// Ingress opens a mailbox, or opens it again.
    Open = "ingress: open",
    /// Ingress stores a payload that is too large for a message.
    StorePayload = "ingress: payload",
    /// Ingress puts a request on the stream `input`.
    Send = "ingress: send",
    /// Ingress marks a request as accepted.
    Accept = "ingress: accept",
    /// Ingress watches a mailbox.
    Watch = "ingress: watch",
    /// Ingress reads a mailbox.
    Look = "ingress: look",
    /// Ingress commits a decision.
    IngressSettle = "ingress: settle",
    /// Ingress keeps an outcome.
    Outcome = "ingress: outcome",
    /// A model receives requests.
    ModelBatch = "model: batch",
    /// A model reads a stored payload.
    ModelPayload = "model: payload",
    /// A model scores requests.
    Score = "model: score",
    /// A model puts scores on the stream `scores`.
    SendScores = "model: send",
    /// Rendezvous receives scores.
    RendezvousBatch = "rendezvous: batch",
    /// Rendezvous reads an endpoint's configuration.
    RendezvousEndpoint = "rendezvous: endpoint",
    /// Rendezvous files scores.
    File = "rendezvous: file",
    /// Rendezvous commits a decision.
    RendezvousSettle = "rendezvous: settle",
    /// The decoy receives records or changes.
    DecoyBatch = "decoy: batch",
    /// The decoy reads an endpoint's configuration.
    DecoyEndpoint = "decoy: endpoint",
    /// The decoy reads a stored payload.
    DecoyPayload = "decoy: payload",
    /// The decoy stores a file.
    Store = "decoy: store",
    /// The monitor receives changes.
    MonitorBatch = "monitor: batch",
    /// The monitor's minute has come.
    Minute = "monitor: minute",
    /// The monitor reads an endpoint's configuration.
    MonitorEndpoint = "monitor: endpoint",
    /// The monitor publishes a configuration.
    Publish = "monitor: publish",
    /// The monitor reads a mailbox.
    MonitorLook = "monitor: look",
    /// The monitor commits a decision.
    MonitorSettle = "monitor: settle",
    /// The monitor reads entries of the table of windows.
    ReadWindows = "monitor: read",
    /// The monitor writes or deletes entries of the table of windows.
    WriteWindows = "monitor: write",
}

/// What a function depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    Input,
    Scores,
    Ledger,
    Endpoints,
    Outcomes,
    Payloads,
    Secrets,
    Archive,
    Windows,
}

impl Dependency {
    pub const ALL: &[Self] = &[
        Self::Input,
        Self::Scores,
        Self::Ledger,
        Self::Endpoints,
        Self::Outcomes,
        Self::Payloads,
        Self::Secrets,
        Self::Archive,
        Self::Windows,
    ];

    /// Its name in errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "stream input",
            Self::Scores => "stream scores",
            Self::Ledger => "ledger",
            Self::Endpoints => "endpoints table",
            Self::Outcomes => "outcomes table",
            Self::Payloads => "payload store",
            Self::Secrets => "secrets",
            Self::Archive => "archive",
            Self::Windows => "windows table",
        }
    }
}

impl Step {
    /// The invocation of a function with a batch.
    pub const fn batch(role: Role) -> Option<Self> {
        match role {
            Role::Model => Some(Self::ModelBatch),
            Role::Rendezvous => Some(Self::RendezvousBatch),
            Role::Decoy => Some(Self::DecoyBatch),
            Role::Monitor => Some(Self::MonitorBatch),
            Role::Ingress | Role::Other => None,
        }
    }

    /// The read of an endpoint's configuration by a function.
    pub const fn endpoint(role: Role) -> Option<Self> {
        match role {
            Role::Ingress => Some(Self::IngressEndpoint),
            Role::Rendezvous => Some(Self::RendezvousEndpoint),
            Role::Decoy => Some(Self::DecoyEndpoint),
            Role::Monitor => Some(Self::MonitorEndpoint),
            Role::Model | Role::Other => None,
        }
    }

    /// The read of a stored payload by a function.
    pub const fn payload(role: Role) -> Option<Self> {
        match role {
            Role::Model => Some(Self::ModelPayload),
            Role::Decoy => Some(Self::DecoyPayload),
            Role::Ingress | Role::Rendezvous | Role::Monitor | Role::Other => None,
        }
    }

    /// What is called in this step; none where a function is invoked or a model computes.
    pub const fn dependency(self) -> Option<Dependency> {
        Some(match self {
            Self::Ask
            | Self::Read
            | Self::Report
            | Self::ModelBatch
            | Self::RendezvousBatch
            | Self::DecoyBatch
            | Self::MonitorBatch
            | Self::Minute
            | Self::Score => return None,
            Self::IngressEndpoint
            | Self::RendezvousEndpoint
            | Self::DecoyEndpoint
            | Self::MonitorEndpoint
            | Self::Publish => Dependency::Endpoints,
            Self::StorePayload | Self::ModelPayload | Self::DecoyPayload => Dependency::Payloads,
            Self::Secret => Dependency::Secrets,
            Self::Send => Dependency::Input,
            Self::SendScores => Dependency::Scores,
            Self::Outcome => Dependency::Outcomes,
            Self::Store => Dependency::Archive,
            Self::ReadWindows | Self::WriteWindows => Dependency::Windows,
            Self::Open
            | Self::Accept
            | Self::Watch
            | Self::Look
            | Self::IngressSettle
            | Self::File
            | Self::RendezvousSettle
            | Self::MonitorLook
            | Self::MonitorSettle => Dependency::Ledger,
        })
    }

    pub const fn is_batch(self) -> bool {
        matches!(
            self,
            Self::ModelBatch | Self::RendezvousBatch | Self::DecoyBatch | Self::MonitorBatch
        )
    }

    pub const fn is_invocation(self) -> bool {
        self.is_batch() || matches!(self, Self::Ask | Self::Read | Self::Report | Self::Minute)
    }

    pub const fn is_put(self) -> bool {
        matches!(self, Self::Send | Self::SendScores)
    }

    pub const fn is_write(self) -> bool {
        self.is_put()
            || matches!(
                self,
                Self::Open
                    | Self::StorePayload
                    | Self::Accept
                    | Self::IngressSettle
                    | Self::File
                    | Self::RendezvousSettle
                    | Self::MonitorSettle
                    | Self::Outcome
                    | Self::Store
                    | Self::Publish
                    | Self::WriteWindows
            )
    }

    /// An outage of what is called may begin at this very step, which is too rare to fall into other outages.
    pub const fn may_begin_outage(self) -> bool {
        matches!(self, Self::Publish | Self::MonitorSettle)
    }

    /// Caches make such a call rare.
    pub const fn is_rare(self) -> bool {
        matches!(
            self,
            Self::RendezvousEndpoint
                | Self::DecoyEndpoint
                | Self::Store
                | Self::DecoyBatch
                | Self::MonitorBatch
                | Self::Minute
                | Self::MonitorEndpoint
                | Self::Publish
                | Self::MonitorLook
                | Self::MonitorSettle
                | Self::ReadWindows
                | Self::WriteWindows
        )
    }
}
