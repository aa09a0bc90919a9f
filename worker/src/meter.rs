//! What the agent of one job has used so far, counted by us from what passes by: the answers of the model that go through
//! the gateway. What the agent itself says, event by event and of the whole at its end, makes turns; money it makes only where
//! no model is behind the gateway, and never more than was left: a hostile agent makes it up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use common::domain::budget::{Limits, Usage};
use serde::{Deserialize, Deserializer};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// US dollars for a million tokens, in and out, by a part of the model's name; the first that fits counts. Whatever is cheaper
/// than its family was is named, and a model that is not known is taken for the dearest, so that a bound is met too early rather
/// than never.
const PRICES: [(&str, f64, f64); 12] = [
    ("haiku", 1.0, 5.0),
    ("sonnet-5", 3.0, 15.0),
    ("sonnet", 3.0, 15.0),
    ("opus-4-5", 5.0, 25.0),
    ("opus-4-6", 5.0, 25.0),
    ("opus-4-7", 5.0, 25.0),
    ("opus-4-8", 5.0, 25.0),
    ("opus-5", 5.0, 25.0),
    ("opus", 15.0, 75.0),
    ("fable-5", 10.0, 50.0),
    ("mythos-5", 10.0, 50.0),
    ("", 25.0, 125.0),
];
/// More than so much that goes in, the cache with it, multiplies the prices of these for the whole message, if not with every
/// provider and always.
const DEARER_WHEN_LONG: [&str; 2] = ["sonnet", "opus-4-6"];
const LONG: u64 = 200_000;
const LONG_IN: f64 = 2.0;
const LONG_OUT: f64 = 1.5;
/// Of these prices, where Amazon Bedrock is told which part of the world answers. It asks for it since models that are not old.
const REGIONAL: f64 = 1.1;
/// Of the price of a token that goes in.
const WRITTEN_TO_CACHE: f64 = 1.25;
/// Written so that it stays for an hour: so much more.
const FOR_AN_HOUR: f64 = 0.75;
const READ_FROM_CACHE: f64 = 0.1;
/// One request, when its project says nothing.
const USUAL_MAX_COST_USD: f64 = 10.0;
const USUAL_MAX_MINUTES: u32 = 30;
/// From this part of what it may use on, the agent is told to come to an end.
const NEARLY: f64 = 0.8;

/// No message of a model has a longer id; one of an agent that has is none.
const MAX_ID_BYTES: usize = 100;
/// No run needs more turns, whatever its project says.
const MAX_TURNS: u32 = 10_000;

/// Too many requests of ours, or of everybody's.
const NO_ROOM: [u16; 3] = [429, 503, 529];
/// What was sent is wrong, or too much, and will be so whenever it is sent again.
const REJECTED: [u16; 2] = [400, 413];

/// One message of the model.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    id: String,
    model: String,
    #[serde(deserialize_with = "in_all")]
    usage: Tokens,
    #[serde(skip)]
    is_regional: bool,
    /// So many tokens went in, by the length of the request.
    #[serde(skip)]
    asked_input: u32,
    /// So many may come out.
    #[serde(skip)]
    max_output: u32,
}

/// What a message used so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Tokens {
    #[serde(rename = "input_tokens", deserialize_with = "told")]
    input: u32,
    #[serde(rename = "output_tokens", deserialize_with = "told")]
    output: u32,
    #[serde(rename = "cache_creation_input_tokens", deserialize_with = "told")]
    written: u32,
    #[serde(rename = "cache_read_input_tokens", deserialize_with = "told")]
    read: u32,
    /// Of those that are written.
    #[serde(rename = "cache_creation", deserialize_with = "told")]
    stays: Stays,
}

/// As its model tells of it. What it says of the whole leaves out what it used to shorten the conversation before, which stands
/// among the passes only.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    #[serde(flatten)]
    whole: Tokens,
    #[serde(rename = "iterations", deserialize_with = "told")]
    passes: Vec<Tokens>,
}

/// What a message used in all its passes.
pub fn in_all<'de, D: Deserializer<'de>>(from: D) -> Result<Tokens, D::Error> {
    let Told { whole, passes } = Told::deserialize(from)?;
    Ok(whole.or_more(passes.into_iter().fold(Tokens::default(), Tokens::and)))
}

/// Null says as much as nothing.
fn told<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// For how long what is written to the cache stays there.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default)]
struct Stays {
    #[serde(rename = "ephemeral_1h_input_tokens")]
    an_hour: u32,
}

/// A token is seldom less.
const BYTES_OF_TOKEN: usize = 3;
/// And seldom comes faster.
const MILLIS_OF_TOKEN: u128 = 10;

impl Tokens {
    /// At most so many are in a text that went in, where nobody has counted them.
    fn of_request(bytes: usize) -> Self {
        Self { input: at_most_in(bytes), ..Self::default() }
    }

    /// The more of both, kind by kind.
    fn or_more(self, told: Self) -> Self {
        self.each(told, u32::max)
    }

    fn and(self, more: Self) -> Self {
        self.each(more, u32::saturating_add)
    }

    fn each(self, other: Self, of: impl Fn(u32, u32) -> u32) -> Self {
        Self {
            input: of(self.input, other.input),
            output: of(self.output, other.output),
            written: of(self.written, other.written),
            read: of(self.read, other.read),
            stays: Stays { an_hour: of(self.stays.an_hour, other.stays.an_hour) },
        }
    }

    fn all_that_went_in(&self) -> u64 {
        [self.input, self.written, self.read].map(u64::from).iter().sum()
    }
}

fn at_most_in(bytes: usize) -> u32 {
    u32::try_from(bytes / BYTES_OF_TOKEN).unwrap_or(u32::MAX)
}

/// What may be used, and what of it was used before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    max_turns: u32,
    /// What is left of them.
    left_turns: u32,
    max_minutes: u32,
    /// What is left, the bound that leaves so little, and its sum.
    left_usd: f64,
    bound: Bound,
    max_usd: f64,
}

/// Whose sum it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Request,
    Thread,
    Month,
}

/// A bound that was met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Met(What);

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Turns(u32),
    Cost(f64, Bound),
}

/// Counts; what is cloned counts together.
#[derive(Debug, Clone)]
pub struct Meter {
    allowance: Allowance,
    counted: Arc<Mutex<Counted>>,
    /// When the agent was first started.
    begun: Arc<OnceLock<Instant>>,
    /// Some of what was set aside is not any more.
    freed: Arc<Notify>,
}

/// What a request under way may still cost is set aside until that is known, at the latest until this is dropped.
#[derive(Debug)]
pub struct Aside {
    meter: Meter,
    id: Uuid,
}

#[derive(Debug, Default)]
struct Counted {
    /// US dollars that requests under way may cost beyond what is counted of them.
    aside: BTreeMap<Uuid, f64>,
    costs: BTreeMap<String, f64>,
    turns: BTreeSet<String>,
    /// What the model answers passes by: nobody's word for it is needed.
    sees_the_model: bool,
    /// US dollars by the agent's word for its whole runs.
    told_usd: f64,
    /// How often the model was asked, and the status of its last answer.
    asked: u64,
    answered: Option<u16>,
    /// When something of an answer came last.
    heard: Option<Instant>,
}

impl Allowance {
    /// What these bounds leave where earlier runs for the request, the thread and the month have used this much.
    pub fn of(limits: &Limits, before: Usage, thread_usd: f64, month_usd: f64) -> Self {
        let request = (limits.max_cost_usd.unwrap_or(USUAL_MAX_COST_USD), before.cost_usd, Bound::Request);
        let thread = limits.max_thread_cost_usd.map(|max| (max, thread_usd, Bound::Thread));
        let month = limits.max_month_cost_usd.map(|max| (max, month_usd, Bound::Month));
        let left = |(max, used, _): &(f64, f64, Bound)| max - used;
        let (max_usd, used, bound) = [thread, month]
            .into_iter()
            .flatten()
            .fold(request, |least, other| if left(&other) < left(&least) { other } else { least });
        let max_turns = limits.max_turns.map_or(MAX_TURNS, |max| max.min(MAX_TURNS));
        Self {
            max_turns,
            left_turns: max_turns.saturating_sub(before.turns),
            max_minutes: limits.max_minutes.unwrap_or(USUAL_MAX_MINUTES),
            left_usd: max_usd - used,
            bound,
            max_usd,
        }
    }

    fn time(&self) -> Duration {
        Duration::from_mins(u64::from(self.max_minutes))
    }
}

impl Meter {
    /// Nothing was used yet.
    pub fn new(allowance: Allowance) -> Self {
        Self { allowance, counted: Arc::default(), begun: Arc::default(), freed: Arc::default() }
    }

    /// The agent is started, or started again. The answer is until when it may work: its time begins with the first start.
    pub fn begins(&self) -> Instant {
        *self.begun.get_or_init(Instant::now) + self.allowance.time()
    }

    /// How long it may work in all.
    pub fn max_minutes(&self) -> u32 {
        self.allowance.max_minutes
    }

    /// From now on the model answers through the gateway, which counts it.
    pub fn sees_the_model(&self) {
        self.counted().sees_the_model = true;
    }

    /// Counts what a message used. It may be told of several times, each time with what it has used by then.
    pub fn count(&self, message: &Message) {
        if !message.is_known() {
            return;
        }
        let mut counted = self.counted();
        let cost = counted.costs.entry(message.id.clone()).or_default();
        *cost = cost.max(message.cost_usd());
    }

    /// The agent tells of a message, which is a turn of it.
    pub fn count_turn(&self, message: &Message) {
        if !message.is_known() {
            return;
        }
        let mut counted = self.counted();
        counted.turns.insert(message.id.clone());
        let known = counted.costs.get(&message.id).copied().unwrap_or_default();
        let more = self.believed(&counted, message.cost_usd() - known);
        if more > 0.0 {
            counted.costs.insert(message.id.clone(), known + more);
        }
    }

    /// What a run of the agent used since then, now that it is over and says what that was. Its word for the money counts where
    /// nothing of it has passed by.
    pub fn ended(&self, before: Usage, said: Usage) -> Usage {
        if self.usage().beyond(before).cost_usd <= 0.0 {
            let mut counted = self.counted();
            counted.told_usd += self.believed(&counted, said.cost_usd);
        }
        let used = self.usage().beyond(before);
        Usage { turns: used.turns.max(said.turns.min(MAX_TURNS)), ..used }
    }

    /// How much more the agent may be believed to have used: no more than it could have.
    fn believed(&self, counted: &Counted, usd: f64) -> f64 {
        if counted.sees_the_model { 0.0 } else { usd.min(self.allowance.left_usd - counted.usd()).max(0.0) }
    }

    /// Notes with which HTTP status the model answers.
    pub fn answered(&self, status: u16) {
        self.counted().answered = Some(status);
    }

    /// Notes that the model is asked.
    pub fn asks(&self) {
        self.counted().asked += 1;
    }

    /// How often it was.
    pub fn asked(&self) -> u64 {
        self.counted().asked
    }

    /// Notes that something of an answer comes.
    pub fn hears(&self) {
        self.counted().heard = Some(Instant::now());
    }

    /// When something of an answer came last.
    pub fn heard(&self) -> Option<Instant> {
        self.counted().heard
    }

    /// The status with which the model had no room for us, when that was its last answer.
    pub fn turned_away(&self) -> Option<u16> {
        self.counted().answered.filter(|status| NO_ROOM.contains(status))
    }

    /// Whether the model's last answer was that what it was sent can never be answered.
    pub fn is_rejected(&self) -> bool {
        self.counted().answered.is_some_and(|status| REJECTED.contains(&status))
    }

    /// What was used.
    pub fn usage(&self) -> Usage {
        let counted = self.counted();
        let turns = u32::try_from(counted.turns.len()).unwrap_or(u32::MAX);
        Usage { cost_usd: counted.usd(), turns, duration_ms: 0 }
    }

    /// The bound that was met, if one was.
    pub fn met(&self) -> Option<Met> {
        let (used, allowance) = (self.usage(), &self.allowance);
        let turns = (used.turns > allowance.left_turns).then_some(What::Turns(allowance.max_turns));
        let cost =
            (used.cost_usd >= allowance.left_usd).then_some(What::Cost(allowance.max_usd, allowance.bound));
        turns.or(cost).map(Met)
    }

    /// Sets aside what a request may cost. Where others may use up all that is left it waits until that is known; one alone may
    /// cost more than is left.
    pub async fn set_aside(&self, usd: f64) -> Result<Aside, Met> {
        loop {
            let freed = self.freed.notified();
            if let Some(met) = self.met() {
                return Err(met);
            }
            if let Some(aside) = self.aside_of_what_is_left(usd) {
                return Ok(aside);
            }
            freed.await;
        }
    }

    fn aside_of_what_is_left(&self, usd: f64) -> Option<Aside> {
        let mut counted = self.counted();
        let taken = counted.usd() + counted.aside.values().sum::<f64>();
        let id = Uuid::new_v4();
        (taken < self.allowance.left_usd).then(|| counted.aside.insert(id, usd))?;
        Some(Aside { meter: self.clone(), id })
    }

    /// Whether it is time to come to an end.
    pub fn is_nearly_met(&self) -> bool {
        let (used, allowance) = (self.usage(), &self.allowance);
        let turns = f64::from(used.turns) >= NEARLY * f64::from(allowance.left_turns);
        let nearly_late = |begun: &Instant| begun.elapsed() >= allowance.time().mul_f64(NEARLY);
        turns || used.cost_usd >= NEARLY * allowance.left_usd || self.begun.get().is_some_and(nearly_late)
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Aside {
    /// No more than this has to be.
    pub fn keep(&self, usd: f64) {
        self.meter.counted().aside.insert(self.id, usd);
        self.meter.freed.notify_waiters();
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.meter.counted().aside.remove(&self.id);
        self.meter.freed.notify_waiters();
    }
}

impl Counted {
    fn usd(&self) -> f64 {
        self.costs.values().sum::<f64>() + self.told_usd
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new(Allowance::of(&Limits::default(), Usage::default(), 0.0, 0.0))
    }
}

impl Message {
    /// The one that will answer a request of so many bytes to this model with so many tokens at most, by a name of ours until
    /// it has its own.
    pub fn awaited(model: String, bytes: usize, max_output: u32) -> Self {
        let is_regional = model.contains("anthropic.") && !model.contains("global.anthropic.");
        let (id, usage) = (Uuid::new_v4().to_string(), Tokens::of_request(bytes));
        Self { id, model, usage, is_regional, asked_input: usage.input, max_output }
    }

    /// US dollars that it may cost in all, as far as anybody knows by now.
    pub fn may_cost_usd(&self) -> f64 {
        let mut most = self.clone();
        most.goes_on(Tokens { output: self.max_output, ..Tokens::default() });
        most.cost_usd()
    }

    /// The same beyond what it has cost.
    pub fn may_still_cost_usd(&self) -> f64 {
        self.may_cost_usd() - self.cost_usd()
    }

    /// The same message as its model tells of it.
    pub fn begins(&mut self, told: Self) {
        let id = if told.is_known() { told.id } else { std::mem::take(&mut self.id) };
        let Self { is_regional, asked_input, max_output, .. } = *self;
        *self = Self { id, is_regional, asked_input, max_output, ..told };
    }

    /// Whether it has a name by which it can be counted.
    fn is_known(&self) -> bool {
        (1..=MAX_ID_BYTES).contains(&self.id.len())
    }

    /// It came to no end that was told. All that it may have said in this time came out of it, whether anybody saw it or not.
    pub fn breaks_off(&mut self, seen_bytes: usize, after: Duration) {
        let unseen = u32::try_from(after.as_millis() / MILLIS_OF_TOKEN).unwrap_or(u32::MAX);
        let output = at_most_in(seen_bytes).max(unseen).min(self.max_output);
        self.goes_on(Tokens { output, ..Tokens::default() });
    }

    /// It began by shortening the conversation that it was asked with, and has not told what that took.
    pub fn has_shortened(&mut self) {
        self.usage = self.usage.and(Tokens { input: self.asked_input, ..Tokens::default() });
    }

    /// Takes over what a later event says of the same message; zero means that it says nothing.
    pub fn goes_on(&mut self, tokens: Tokens) {
        self.usage = self.usage.or_more(tokens);
    }

    fn prices(&self) -> (f64, f64) {
        let known = PRICES.iter().find(|(name, ..)| self.model.contains(name));
        let (name, price_in, price_out) = known.copied().unwrap_or(PRICES[PRICES.len() - 1]);
        if DEARER_WHEN_LONG.contains(&name) && self.usage.all_that_went_in() > LONG {
            return (price_in * LONG_IN, price_out * LONG_OUT);
        }
        (price_in, price_out)
    }

    fn cost_usd(&self) -> f64 {
        let (tokens, (price_in, price_out)) = (self.usage, self.prices());
        let went_in = f64::from(tokens.input)
            + f64::from(tokens.written) * WRITTEN_TO_CACHE
            + f64::from(tokens.stays.an_hour) * FOR_AN_HOUR
            + f64::from(tokens.read) * READ_FROM_CACHE;
        let factor = if self.is_regional { REGIONAL } else { 1.0 };
        factor * (went_in * price_in + f64::from(tokens.output) * price_out) / 1e6
    }
}

impl Met {
    /// For the owner.
    pub fn owner_text(self) -> String {
        let (what, whose) = match self.0 {
            What::Turns(max) => (format!("{max} steps"), "one request"),
            What::Cost(max, Bound::Request) => (format!("{max:.2} US dollars"), "one request"),
            What::Cost(max, Bound::Thread) => (format!("{max:.2} US dollars"), "one conversation"),
            What::Cost(max, Bound::Month) => (format!("{max:.2} US dollars"), "one month"),
        };
        format!(
            "The work needs more than the {what} that are agreed for {whose}, and was stopped. What was done so far is kept."
        )
    }
}

impl std::fmt::Display for Met {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            What::Turns(max) => write!(f, "the bound of {max} turns (maxTurns)"),
            What::Cost(max, Bound::Request) => write!(f, "the bound of {max} USD for a request (maxCostUsd)"),
            What::Cost(max, Bound::Thread) => {
                write!(f, "the bound of {max} USD for a conversation (maxThreadCostUsd)")
            }
            What::Cost(max, Bound::Month) => {
                write!(f, "the bound of {max} USD for a month (maxMonthCostUsd)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};

    use super::*;

    fn message(id: &str, model: &str, output: u32) -> Message {
        message_of(id, model, Tokens { output, ..Tokens::default() })
    }

    fn message_of(id: &str, model: &str, usage: Tokens) -> Message {
        Message { id: id.to_owned(), model: model.to_owned(), usage, ..Message::default() }
    }

    fn meter(limits: Limits, thread: f64, month: f64) -> Meter {
        Meter::new(Allowance::of(&limits, Usage::default(), thread, month))
    }

    #[test]
    fn a_message_counts_once_however_often_it_is_told_of_and_by_whom() {
        let meter = Meter::default();
        for output in [10, 1000, 1000] {
            meter.clone().count(&message("m-1", "claude-sonnet-4-5", output));
        }
        meter.count_turn(&message("m-1", "claude-sonnet-4-5", 5));
        meter.count_turn(&message("m-2", "claude-haiku-4-5", 1000));
        let used = meter.usage();
        assert_eq!(used.turns, 2);
        assert!((used.cost_usd - 0.02).abs() < 1e-9, "{used:?}");
    }

    #[test]
    fn what_an_agent_says_of_itself_is_believed_up_to_its_bound_and_not_at_all_where_the_model_is_seen() {
        let lies = |sees_the_model: bool| {
            let meter = meter(Limits { max_cost_usd: Some(2.0), ..Limits::default() }, 0.0, 0.0);
            if sees_the_model {
                meter.sees_the_model();
            }
            for id in ["m-1", "m-1", "m-2"] {
                meter.count_turn(&message(id, "unheard-of", u32::MAX));
            }
            (meter.usage().cost_usd, meter.usage().turns)
        };
        assert_eq!((lies(false), lies(true)), ((2.0, 2), (0.0, 2)));
        for (said, believed) in [(-1e9, 0.0), (0.5, 0.5), (1e308, 2.0), (f64::INFINITY, 2.0)] {
            let meter = meter(Limits { max_cost_usd: Some(2.0), ..Limits::default() }, 0.0, 0.0);
            let said = Usage { cost_usd: said, turns: u32::MAX, duration_ms: 0 };
            let used = meter.ended(Usage::default(), said);
            assert_eq!((used.cost_usd, used.turns), (believed, MAX_TURNS), "{said:?}");
            assert_eq!(meter.met().is_some(), believed >= 2.0, "it is of the bound");
            meter.sees_the_model();
            let before = meter.usage();
            assert_eq!((meter.ended(before, said).cost_usd, meter.usage()), (0.0, before));
        }
    }

    #[test]
    fn turns_are_met_when_they_are_passed_and_nearly_met_before() {
        let meter = meter(Limits { max_turns: Some(5), ..Limits::default() }, 0.0, 0.0);
        let stands = |turn: u32| {
            meter.count_turn(&message(&turn.to_string(), "haiku", 1));
            (meter.is_nearly_met(), meter.met())
        };
        let all: Vec<_> = (1..=6).map(stands).collect();
        assert_eq!(all[2], (false, None));
        assert_eq!((all[3], all[4]), ((true, None), (true, None)));
        assert_eq!(all[5].1, Some(Met(What::Turns(5))));
    }

    #[test]
    fn the_bound_that_leaves_least_is_the_one_that_is_met() {
        let limits = |request, thread, month| Limits {
            max_cost_usd: Some(request),
            max_thread_cost_usd: Some(thread),
            max_month_cost_usd: Some(month),
            ..Limits::default()
        };
        for (limits, bound) in [
            (limits(0.5, 5.0, 50.0), Bound::Request),
            (limits(2.0, 5.0, 50.0), Bound::Thread),
            (limits(2.0, 9.0, 21.0), Bound::Month),
        ] {
            let meter = meter(limits, 4.0, 20.0);
            assert_eq!((meter.is_nearly_met(), meter.met()), (false, None));
            meter.count(&message("m-1", "unheard-of", 11_000));
            assert!(meter.is_nearly_met());
            meter.count(&message("m-2", "unheard-of", 11_000));
            assert!(matches!(meter.met(), Some(Met(What::Cost(_, met))) if met == bound), "{bound:?}");
        }
    }

    #[test]
    fn what_earlier_runs_of_a_request_used_is_of_its_bounds() {
        let limits = Limits { max_cost_usd: Some(2.0), max_turns: Some(10), ..Limits::default() };
        let after = |cost_usd, turns| {
            Meter::new(Allowance::of(&limits, Usage { cost_usd, turns, duration_ms: 0 }, 0.0, 0.0))
        };
        assert_eq!(after(1.9, 9).met(), None);
        assert_eq!(after(2.0, 0).met(), Some(Met(What::Cost(2.0, Bound::Request))));
        let meter = after(0.5, 9);
        for id in ["m-1", "m-2"] {
            meter.count_turn(&message(id, "haiku", 1));
        }
        assert_eq!(meter.met(), Some(Met(What::Turns(10))));
        assert_eq!(meter.usage().turns, 2, "only what it has counted itself");
    }

    #[tokio::test(start_paused = true)]
    async fn all_starts_of_an_agent_share_their_minutes_and_it_is_told_before_they_are_over() {
        let meter = meter(Limits { max_minutes: Some(10), ..Limits::default() }, 0.0, 0.0);
        assert!(!meter.is_nearly_met());
        let first = meter.begins();
        tokio::time::advance(Duration::from_secs(8 * 60 - 1)).await;
        assert!(!meter.is_nearly_met());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(meter.is_nearly_met());
        assert_eq!(meter.clone().begins(), first);
        assert_eq!(first.duration_since(Instant::now()), Duration::from_mins(2));
    }

    async fn soon<F: Future>(asks: Pin<&mut F>) -> Option<F::Output> {
        tokio::time::timeout(Duration::from_millis(20), asks).await.ok()
    }

    #[tokio::test]
    async fn requests_at_once_wait_where_those_before_may_use_up_what_is_left() {
        let meter = Meter::default();
        let alone = meter.set_aside(50.0).await.expect("more than is left, but alone");
        let asks = meter.set_aside(1.0);
        let mut asks = pin!(asks);
        assert!(soon(asks.as_mut()).await.is_none(), "who knows what is left");
        alone.keep(9.0);
        let second = soon(asks.as_mut()).await.unwrap().unwrap();
        let asks = meter.set_aside(1.0);
        let mut asks = pin!(asks);
        assert!(soon(asks.as_mut()).await.is_none());
        drop(alone);
        let _third = soon(asks.as_mut()).await.unwrap().unwrap();
        second.keep(9.0);
        let asks = meter.set_aside(1.0);
        let mut asks = pin!(asks);
        assert!(soon(asks.as_mut()).await.is_none());
        assert_eq!((meter.usage().cost_usd, meter.met()), (0.0, None), "nothing of it was used");
        meter.count(&message("m", "unheard-of", 80_000));
        drop(second);
        assert!(soon(asks.as_mut()).await.unwrap().is_err(), "now it is known");
    }

    #[test]
    fn the_last_answer_tells_whether_to_ask_the_same_again() {
        let meter = Meter::default();
        let after = |status| {
            meter.answered(status);
            (meter.is_rejected(), meter.turned_away())
        };
        assert_eq!([400, 413, 200].map(after), [(true, None), (true, None), (false, None)]);
        assert_eq!([529, 500].map(after), [(false, Some(529)), (false, None)]);
    }

    #[test]
    fn where_nothing_is_left_nothing_is_begun() {
        let limits = Limits { max_month_cost_usd: Some(20.0), ..Limits::default() };
        let met = meter(limits, 0.0, 20.0).met().unwrap();
        assert!(met.owner_text().contains("20.00 US dollars that are agreed for one month"));
        assert!(met.to_string().contains("maxMonthCostUsd"));
    }

    #[test]
    fn what_a_later_event_says_is_taken_over() {
        let mut message: Message = serde_json::from_str(
            r#"{"id":"m","model":"haiku","usage":{"input_tokens":1000000,"output_tokens":1}}"#,
        )
        .unwrap();
        message.goes_on(Tokens { output: 200_000, ..Tokens::default() });
        assert!((message.cost_usd() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn an_hour_in_the_cache_costs_more_than_five_minutes() {
        let cost = |hour: u32| {
            let message: Result<Message, _> = serde_json::from_value(
                serde_json::json!({"id": "m", "model": "sonnet", "usage": {
                    "cache_creation_input_tokens": 100_000, "cache_read_input_tokens": null,
                    "cache_creation": {"ephemeral_5m_input_tokens": 100_000 - hour, "ephemeral_1h_input_tokens": hour},
                }}),
            );
            message.unwrap().cost_usd()
        };
        assert!((cost(0) - 0.375).abs() < 1e-9);
        assert!((cost(100_000) - 0.6).abs() < 1e-9, "{}", cost(100_000));
    }

    #[test]
    fn each_model_has_the_price_of_its_own_and_an_old_one_never_that_of_a_newer() {
        for (model, price) in [
            ("claude-haiku-4-5-20251001", 5.0),
            ("claude-sonnet-4-5-20250929", 15.0),
            ("/model/eu.anthropic.claude-opus-4-5-20251101-v1%3A0/invoke", 25.0),
            ("claude-opus-4-8", 25.0),
            ("claude-opus-5-5", 25.0),
            ("claude-opus-4-1", 75.0),
            ("claude-opus-4-0", 75.0),
            ("claude-opus-4-20250514", 75.0),
            ("claude-3-opus-latest", 75.0),
            ("/model/anthropic.claude-3-opus-20240229-v1%3A0/invoke", 75.0),
            ("claude-opus-9", 75.0),
            ("claude-fable-5-1", 50.0),
            ("claude-mythos-preview", 125.0),
            ("", 125.0),
        ] {
            let cost = message("m", model, 1_000_000).cost_usd();
            assert!((cost - price).abs() < 1e-9, "{model}: {cost}");
        }
    }

    #[test]
    fn a_part_of_the_world_costs_more_than_any_also_when_the_answer_does_not_name_it() {
        let cost = |asked: &str| {
            let mut answer = Message::awaited(asked.to_owned(), 0, 0);
            answer.begins(message("m", "claude-haiku-4-5-20251001", 1_000_000));
            answer.cost_usd()
        };
        for usual in ["claude-haiku-4-5", "/model/global.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke"] {
            assert!((cost(usual) - 5.0).abs() < 1e-9, "{usual}");
        }
        for part in
            ["/model/eu.anthropic.claude-haiku-4-5/invoke", "/model/anthropic.claude-haiku-4-5/invoke"]
        {
            assert!((cost(part) - 5.5).abs() < 1e-9, "{part}");
        }
    }

    #[test]
    fn a_long_message_costs_more_where_the_list_says_so() {
        let cost = |model: &str, read: u32| {
            let usage = Tokens { input: 100_000, written: 50_000, read, output: 10_000, ..Tokens::default() };
            message_of("m", model, usage).cost_usd()
        };
        let (usual, read) = (0.1625 * 3.0 + 0.15, 1e-7 * 3.0);
        assert!((cost("claude-sonnet-4-5-20250929", 50_000) - usual - 50_000.0 * read).abs() < 1e-9);
        for model in ["claude-sonnet-4-20250514", "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke"]
        {
            let (all_in, out) = (0.1625 * 3.0 + 50_001.0 * read, 0.15);
            assert!((cost(model, 50_001) - 2.0 * all_in - 1.5 * out).abs() < 1e-9, "{model}");
        }
        let newer = cost("claude-sonnet-5-5", 50_001);
        assert!((newer - usual - 50_001.0 * read).abs() < 1e-9, "{newer}");
    }

    #[test]
    fn ids_that_no_message_has_are_not_kept_and_turns_have_an_end() {
        let meter = meter(Limits::default(), 0.0, 0.0);
        meter.count_turn(&message(&"x".repeat(1000), "haiku", 1));
        assert_eq!(meter.usage().turns, 0);
        for turn in 0..20_000 {
            meter.count_turn(&message(&turn.to_string(), "haiku", 0));
            if meter.met().is_some() {
                break;
            }
        }
        assert!(meter.usage().turns < 20_000, "{:?}", meter.usage());
        assert!(meter.met().unwrap().owner_text().contains("steps"));
    }
}
