//! What the demonstration has shown: for people as a page, for programs as JSON.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    path::Path,
    time::Duration,
};

use rendezvous_core::{Arm, Endpoint, Kind, ModelId, Reason, RequestId, Role, ScoreMessage};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{
    percentiles::{Percentiles, Times},
    say::shown,
};

/// How a demonstration was played.
pub(crate) struct Round {
    pub(crate) rate: u32,
    pub(crate) own_deadline: Option<Duration>,
    pub(crate) kills: Vec<(ModelId, Duration, Duration)>,
}

/// What one client got.
#[derive(Clone)]
pub(crate) struct Answered {
    /// Since the start.
    pub(crate) sent: Duration,
    pub(crate) took: Duration,
    /// The outcome of its flight.
    pub(crate) was_late: bool,
    pub(crate) answer: Result<Answer, String>,
}

#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) request: RequestId,
    pub(crate) model: Option<ModelId>,
    pub(crate) kind: Kind,
    pub(crate) reason: Reason,
    pub(crate) score: String,
}

impl Answered {
    /// Who answered.
    pub(crate) fn by(&self) -> String {
        match &self.answer {
            Ok(Answer { model: Some(model), .. }) => model.to_string(),
            Ok(Answer { kind, .. }) => kind.as_str().to_owned(),
            Err(_) => "error".to_owned(),
        }
    }

    /// Why it was this answer.
    fn why(&self) -> &'static str {
        self.answer.as_ref().map_or("", |answer| answer.reason.as_str())
    }

    /// The answer, or the error, in a few words.
    pub(crate) fn what(&self) -> String {
        match &self.answer {
            Ok(answer) => format!("{} by {}", answer.score, self.by()),
            Err(error) => error.clone(),
        }
    }
}

/// The scores of every model, as the stream carried them. The first of a model counts.
#[derive(Default)]
pub(crate) struct Heard {
    seen: HashSet<(RequestId, ModelId)>,
    scores: HashMap<ModelId, HashMap<RequestId, f64>>,
    failed: HashMap<ModelId, u64>,
}

impl Heard {
    pub(crate) fn add(&mut self, message: &ScoreMessage, value: Option<&str>) {
        let (id, model) = (message.envelope.id, message.score.model.clone());
        if !self.seen.insert((id, model.clone())) {
            return;
        }
        match &message.score.result {
            Ok(score) => {
                let score: Value = serde_json::from_str(score.as_str()).unwrap_or_default();
                let number = value.and_then(|pointer| score.pointer(pointer)?.as_f64());
                self.scores.entry(model).or_default().insert(id, number.unwrap_or(f64::NAN));
            }
            Err(_) => *self.failed.entry(model).or_default() += 1,
        }
    }
}

/// How much two scores may differ and still agree.
const AGREEMENT: f64 = 0.05;

/// An answer that comes more than this after its deadline is late.
const LATENESS: Duration = Duration::from_millis(5);

#[derive(Serialize)]
pub(crate) struct Report {
    requests: usize,
    answered: usize,
    errors: usize,
    /// Answered more than 5 ms after the deadline, as the client measured it.
    late: usize,
    deadline_ms: u64,
    rate: u32,
    kinds: BTreeMap<&'static str, usize>,
    reasons: BTreeMap<&'static str, usize>,
    #[serde(serialize_with = "by_id")]
    models: Vec<Model>,
    #[serde(skip)]
    timeline: Vec<Slice>,
    elapsed_ms: Percentiles,
    ledger_reads_per_request: f64,
    ledger_writes_per_request: f64,
    archive: String,
    #[serde(skip)]
    kills: Vec<(ModelId, Duration, Duration)>,
    #[serde(skip)]
    first_error: Option<String>,
}

/// What one model did.
#[derive(Serialize)]
struct Model {
    #[serde(skip)]
    id: ModelId,
    role: &'static str,
    scored: usize,
    failed: u64,
    won: usize,
    /// Mean squared difference between the score and the outcome, over the requests that every
    /// model has scored: less is better.
    brier: Option<f64>,
    /// Share of the requests that both scored on which it is within 0.05 of the champion.
    agreement: Option<f64>,
}

fn by_id<S: Serializer>(models: &[Model], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(models.iter().map(|model| (&model.id, model)))
}

/// A part of the demonstration.
struct Slice {
    from: Duration,
    to: Duration,
    /// Answers by who gave them and why.
    by: BTreeMap<(String, &'static str), usize>,
    took: Percentiles,
}

/// Every model that is expected to score, and what it is there for.
pub(crate) fn roles(endpoint: &Endpoint) -> Vec<(ModelId, &'static str)> {
    let choices = endpoint.configuration.schedule(&Arm::main()).choices();
    let choices = choices.iter().enumerate().map(|(i, choice)| {
        let role = match i {
            0 => "champion",
            last if last + 1 == choices.len() => "backstop",
            _ => "stand-in",
        };
        (choice.model.clone(), role)
    });
    let observers = endpoint.configuration.observers().iter().map(|observer| {
        let role = match observer.role {
            Role::Challenger => "challenger",
            Role::Canary => "canary",
        };
        (observer.model.clone(), role)
    });
    choices.chain(observers).collect()
}

impl Report {
    pub(crate) fn new(
        endpoint: &Endpoint,
        round: &Round,
        answered: &[Answered],
        heard: &Heard,
        (reads, writes): (u64, u64),
        archive: &Path,
    ) -> Self {
        let schedule = endpoint.configuration.schedule(&Arm::main());
        let deadline =
            round.own_deadline.map_or(schedule.deadline(), |own| own.min(schedule.deadline()));
        let answers = || answered.iter().filter_map(|a| a.answer.as_ref().ok());
        let kinds = counted(answers().map(|answer| answer.kind.as_str()));
        let reasons = counted(answers().map(|answer| answer.reason.as_str()));
        let outcomes: HashMap<RequestId, bool> = answered
            .iter()
            .filter_map(|a| Some((a.answer.as_ref().ok()?.request, a.was_late)))
            .collect();
        let champion = heard.scores.get(schedule.champion());
        let roles = roles(endpoint);
        // Compared on the same flights: those that every model has scored.
        let scored_by_all = |id: &RequestId| {
            let mut scores = roles.iter().filter_map(|(model, _)| heard.scores.get(model));
            scores.all(|scores| scores.contains_key(id))
        };
        let compared: HashMap<RequestId, bool> =
            outcomes.into_iter().filter(|(id, _)| scored_by_all(id)).collect();
        let model = |(id, role): (ModelId, &'static str)| {
            let scores = heard.scores.get(&id);
            let won = answers().filter(|answer| answer.model.as_ref() == Some(&id)).count();
            Model {
                role,
                scored: scores.map_or(0, HashMap::len),
                failed: heard.failed.get(&id).copied().unwrap_or(0),
                won,
                brier: scores.and_then(|scores| brier(scores, &compared)),
                agreement: match (scores, champion) {
                    (Some(scores), Some(champion)) if id != *schedule.champion() => {
                        agreement(scores, champion)
                    }
                    _ => None,
                },
                id,
            }
        };
        let mut times = Times::default();
        answered.iter().filter(|a| a.answer.is_ok()).for_each(|a| times.add(a.took));
        let errors = answered.iter().filter(|a| a.answer.is_err()).count();
        Self {
            requests: answered.len(),
            answered: answered.len() - errors,
            errors,
            late: answered.iter().filter(|a| a.took > deadline + LATENESS).count(),
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            rate: round.rate,
            kinds,
            reasons,
            models: roles.iter().cloned().map(model).collect(),
            timeline: timeline(answered),
            elapsed_ms: times.percentiles(),
            ledger_reads_per_request: reads as f64 / answered.len() as f64,
            ledger_writes_per_request: writes as f64 / answered.len() as f64,
            archive: shown(archive),
            kills: round.kills.clone(),
            first_error: answered.iter().find_map(|a| a.answer.clone().err()),
        }
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered
    }
}

fn brier(scores: &HashMap<RequestId, f64>, outcomes: &HashMap<RequestId, bool>) -> Option<f64> {
    let squares = scores.iter().filter_map(|(id, score)| {
        let off = score - if *outcomes.get(id)? { 1.0 } else { 0.0 };
        Some(off * off)
    });
    mean(squares)
}

fn counted(words: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

fn agreement(scores: &HashMap<RequestId, f64>, champion: &HashMap<RequestId, f64>) -> Option<f64> {
    let agrees = |off: f64| if off <= AGREEMENT { 1.0 } else { 0.0 };
    mean(scores.iter().filter_map(|(id, score)| Some(agrees((score - champion.get(id)?).abs()))))
}

fn mean(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) =
        numbers.filter(|n| n.is_finite()).fold((0_u32, 0.0), |(c, sum), n| (c + 1, sum + n));
    (count > 0).then(|| sum / f64::from(count))
}

/// Who answered, in a dozen equal parts.
fn timeline(answered: &[Answered]) -> Vec<Slice> {
    const PARTS: u32 = 12;
    let end = answered.last().map_or(Duration::ZERO, |last| last.sent) + Duration::from_millis(1);
    let part = end / PARTS;
    let slice = |i: u32| {
        let (from, to) = (part * i, if i + 1 == PARTS { end } else { part * (i + 1) });
        let mut by: BTreeMap<(String, &str), usize> = BTreeMap::new();
        let mut times = Times::default();
        for answer in answered.iter().filter(|a| (from..to).contains(&a.sent)) {
            *by.entry((answer.by(), answer.why())).or_default() += 1;
            times.add(answer.took);
        }
        Slice { from, to, by, took: times.percentiles() }
    };
    (0..PARTS).map(slice).filter(|slice| !slice.by.is_empty()).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, answered, errors, late, deadline_ms, .. } = self;
        writeln!(f)?;
        writeln!(
            f,
            "{answered} of {requests} requests answered, {errors} errors, {late} late (deadline {deadline_ms} ms)."
        )?;
        if let Some(error) = &self.first_error {
            writeln!(f, "The first error: {error}")?;
        }
        writeln!(f)?;
        self.write_timeline(f)?;
        self.write_kinds(f)?;
        self.write_models(f)
    }
}

impl Report {
    fn write_timeline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BAR: usize = 24;
        let glyphs = ['█', '▓', '▒', '░'];
        let choices: Vec<&str> = self.models.iter().map(|model| model.id.as_str()).collect();
        let place = |who: &str| choices.iter().position(|c| *c == who).unwrap_or(glyphs.len());
        writeln!(f, "Who answered, and how long it took")?;
        for Slice { from, to, by, took } in &self.timeline {
            let total: usize = by.values().sum();
            let mut by: Vec<_> = by.iter().collect();
            by.sort_by_key(|((who, _), _)| place(who));
            let mut bar = String::new();
            let (mut reached, mut sum) = (0, 0);
            for ((who, _), count) in &by {
                sum += **count;
                let upto = (sum * BAR).div_ceil(total);
                let glyph = glyphs.get(place(who)).copied().unwrap_or('!');
                bar.extend(std::iter::repeat_n(glyph, upto - reached));
                reached = upto;
            }
            let by: Vec<String> =
                by.iter().map(|((who, why), n)| format!("{n} {who} {why}")).collect();
            writeln!(
                f,
                "  {:5.1} - {:5.1} s  {bar}  p50 {:6.1} ms  p99 {:6.1} ms  {}",
                from.as_secs_f64(),
                to.as_secs_f64(),
                took.p50,
                took.p99,
                by.join(", ")
            )?;
        }
        for (model, from, to) in &self.kills {
            let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
            writeln!(f, "  {model} was dead from {from:.1} s to {to:.1} s.")?;
        }
        writeln!(f)
    }

    fn write_kinds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<&str, usize>| {
            let counts: Vec<String> =
                counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
            counts.join(", ")
        };
        let Percentiles { p50, p95, p99, max, .. } = self.elapsed_ms;
        let (reads, writes) = (self.ledger_reads_per_request, self.ledger_writes_per_request);
        writeln!(f, "Answers by kind    {}", list(&self.kinds))?;
        writeln!(f, "        by reason  {}", list(&self.reasons))?;
        writeln!(
            f,
            "Time to answer     p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, at most {max:.1} ms"
        )?;
        writeln!(f, "Calls a request    {reads:.1} ledger reads, {writes:.1} ledger writes")?;
        writeln!(f)
    }

    fn write_models(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share =
            |number: Option<f64>| number.map_or("-".to_owned(), |n| format!("{:.0} %", n * 100.0));
        let score = |number: Option<f64>| number.map_or("-".to_owned(), |n| format!("{n:.4}"));
        writeln!(
            f,
            "{:14}{:12}{:>8}{:>8}{:>8}{:>10}{:>9}",
            "Model", "role", "scored", "failed", "won", "agrees", "Brier"
        )?;
        for model in &self.models {
            let Model { id, role, scored, failed, won, brier, agreement } = model;
            writeln!(
                f,
                "{:14}{role:12}{scored:>8}{failed:>8}{won:>8}{:>10}{:>9}",
                id.as_str(),
                share(*agreement),
                score(*brier)
            )?;
        }
        for line in [
            "  failed: no score but a failure, such as `expired` for what a dead model finds when it is back",
            "  agrees: within 0.05 of the champion on the requests that both have scored",
            "  Brier:  mean squared error against what became of the flights that all have scored; less is better",
        ] {
            writeln!(f, "{line}")?;
        }
        writeln!(f)
    }
}
