//! The bounds of everything that comes from outside. Error messages name them from here.

use std::time::Duration;

/// The longest deadline of a schedule and of a request that its client waits for. API Gateway ends
/// an integration after 30 s; the reply must fit in, too.
pub const MAX_DEADLINE: Duration = Duration::from_secs(29);

/// The longest deadline of a request with `Prefer: respond-async`.
pub const MAX_ASYNC_DEADLINE: Duration = Duration::from_mins(15);

/// An answer that leaves more than this after its deadline is late.
pub const LATE_AFTER: Duration = Duration::from_millis(5);

/// The largest payload, in bytes. Its event stays below the 6 MiB that Lambda takes.
pub const MAX_PAYLOAD_BYTES: usize = 5_000_000;

/// The most bytes that a body takes in the event of Lambda, where quotes and backslashes are escaped, or
/// where it is base64. Lambda takes an event of 6,291,456 bytes, the headers included.
pub const MAX_EVENT_BODY_BYTES: usize = 6_000_000;

/// The largest payload in a message, in bytes. With its envelope it stays below the 1 MiB of a Kinesis
/// record. A larger payload is stored first, and the message refers to it.
pub const MAX_INLINE_PAYLOAD_BYTES: usize = 1_000_000;

/// The largest score, in bytes; a larger one is a failure of kind `invalid`.
pub const MAX_SCORE_BYTES: usize = 16 * 1024;

/// The largest outcome, in bytes.
pub const MAX_OUTCOME_BYTES: usize = MAX_SCORE_BYTES;

/// The longest failure message, in characters; the rest is cut.
pub const MAX_FAILURE_CHARS: usize = 500;

/// The largest entry of the table of windows, in bytes. With its key it fits an item of 400 KB.
pub const MAX_ENTRY_BYTES: usize = 256 * 1024;

/// The deepest nesting of arrays and objects in JSON from outside. Every common parser reads this
/// deep; many stop at 100 (`PyYAML`, Jackson's default is 1000, `serde_json` 128).
pub const MAX_DEPTH: usize = 64;

/// The most choices of one schedule. With the observers' their scores fit one ledger item.
pub const MAX_CHOICES: usize = 8;

/// The most requests after which a schedule may presume a model silent. Rendezvous keeps a deadline
/// for each.
pub const MAX_SILENT_AFTER: u32 = 1_000;

/// The most observers of one endpoint. Their scores and those of the choices fit one ledger item of
/// 400 KB, at 16 KiB each.
pub const MAX_OBSERVERS: usize = 12;

/// The most models of one endpoint, on all schedules and among the observers.
pub const MAX_MODELS: usize = MAX_CHOICES + MAX_OBSERVERS;

/// The most arms of one endpoint beside `main`, steps of an arm, and pinned keys.
pub const MAX_ARMS: usize = 8;
pub const MAX_STEPS: usize = 20;
pub const MAX_PINS: usize = 100;

/// The longest time for which a guard may hold a step: a week.
pub const MAX_HOLD_MINUTES: u32 = 7 * 24 * 60;

/// The most features of one endpoint. Their windows of a week fit one entry of the table of windows.
pub const MAX_FEATURES: usize = 64;

/// How many days outcomes may take at most, and by default.
pub const MAX_OUTCOME_HORIZON_DAYS: u32 = 366;
pub const OUTCOME_HORIZON_DAYS: u32 = 7;

/// The longest name of a baseline, in characters.
pub const MAX_BASELINE_CHARS: usize = 64;

/// The most input and the most output tensors of one endpoint, characters of a tensor's name,
/// dimensions of a tensor, and elements of one row of it.
pub const MAX_TENSORS: usize = 100;
pub const MAX_TENSOR_NAME: usize = 256;
pub const MAX_DIMENSIONS: usize = 8;
pub const MAX_ROW_ELEMENTS: i64 = 65_536;

/// The most parts of a tensor's JSON pointer. With the dimensions of its value they nest less deep
/// than [`MAX_DEPTH`].
pub const MAX_POINTER_PARTS: usize = 32;

/// The most rows of one call of the Open Inference Protocol; each is a request.
pub const MAX_ROWS: usize = 100;

/// The longest [`crate::Key`], in characters. (Kinesis: "a partition key ... maximum length limit
/// of 256 characters".)
pub const MAX_KEY_CHARS: usize = 256;

/// The longest `Idempotency-Key`, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// The longest author and message of a published configuration, in characters.
pub const MAX_AUTHOR_CHARS: usize = 200;
pub const MAX_MESSAGE_CHARS: usize = 2_000;
