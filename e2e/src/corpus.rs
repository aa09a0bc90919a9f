//! Scores of mail understanding over a folder of real mails with expected answers: `hermes simulate --json` reads them, the
//! counts are made here, by the rules that the folder's own tools state.

pub mod programs;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// How many files one call is given.
const FILES_A_CALL: usize = 500;

/// One line of `hermes simulate --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    file: PathBuf,
    automatic: bool,
    from: Option<String>,
    subject: String,
    instruction: String,
    attachments: Vec<serde_json::Value>,
    thread: Thread,
}

#[derive(Debug, Clone, Deserialize)]
struct Thread {
    id: Option<String>,
}

/// How many of how many, and what went wrong.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// Right ones.
    pub right: usize,
    /// All.
    pub all: usize,
    /// Names of the wrong ones by kind.
    pub wrong: BTreeMap<String, Vec<String>>,
}

impl Score {
    fn count(&mut self, id: &str, kind: Option<String>) {
        self.all += 1;
        match kind {
            None => self.right += 1,
            Some(kind) => self.wrong.entry(kind).or_default().push(id.to_owned()),
        }
    }

    /// Per cent.
    #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
    pub fn percent(&self) -> f64 {
        if self.all == 0 { 0.0 } else { 100.0 * self.right as f64 / self.all as f64 }
    }

    /// How many are wrong in this way.
    pub fn wrong(&self, kind: &str) -> usize {
        self.wrong.iter().filter(|(name, _)| name.contains(kind)).map(|(_, ids)| ids.len()).sum()
    }
}

/// All scores.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    /// New text of replies.
    pub replies: Score,
    /// Act or not.
    pub automatic: Score,
    /// Subjects, senders and numbers of attachments as stated.
    pub torture: Score,
    /// Pairs of mails in one conversation or two.
    pub threads: Score,
}

impl Scores {
    /// What does not reach its bar.
    pub fn below_bar(&self) -> Vec<String> {
        let kept = self.replies.wrong("kept quote");
        let normal = self.automatic.wrong("normal mail stopped");
        let checks = [
            (self.replies.percent() >= 92.0, format!("replies: {:.1} % < 92 %", self.replies.percent())),
            (kept * 25 <= self.replies.all, format!("replies: {kept} kept a quote, more than 4 %")),
            (
                self.automatic.percent() >= 99.0,
                format!("automatic mail: {:.1} % < 99 %", self.automatic.percent()),
            ),
            (normal == 0, format!("automatic mail: {normal} normal mails were stopped")),
            (self.torture.right == self.torture.all, "torture: less than all stated facts".to_owned()),
            (self.threads.right == self.threads.all, "threads: less than all pairs".to_owned()),
        ];
        checks.into_iter().filter(|(good, _)| !good).map(|(_, what)| what).collect()
    }
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12} {:>9} {:>7}  {:<28} best other library", "set", "right", "", "bar")?;
        let rows = [
            ("replies", &self.replies, ">= 92 %, kept quotes <= 4 %", "79 %"),
            ("automatic", &self.automatic, ">= 99 %, 0 normal stopped", "97.6 %"),
            ("torture", &self.torture, "100 % of what is stated", ""),
            ("threads", &self.threads, "100 % of pairs", "90 %"),
        ];
        for (name, score, bar, other) in rows {
            let count = format!("{}/{}", score.right, score.all);
            writeln!(f, "{name:<12} {count:>9} {:>5.1} %  {bar:<28} {other}", score.percent())?;
            for (kind, ids) in &score.wrong {
                writeln!(f, "             {:>4} {kind}: {}", ids.len(), ids.join(" "))?;
            }
        }
        let (kept, lost) = (self.replies.wrong("kept quote"), self.replies.wrong("lost line"));
        write!(f, "replies that keep a quote: {kept}; that lose a line: {lost}")
    }
}

/// Scores a program over a folder.
pub async fn score(hermes: &Path, folder: &Path) -> anyhow::Result<Scores> {
    Ok(Scores {
        replies: replies(hermes, &folder.join("replies")).await?,
        automatic: automatic(hermes, &folder.join("auto")).await?,
        torture: torture(hermes, &folder.join("torture")).await?,
        threads: threads(hermes, &folder.join("threads")).await?,
    })
}

/// What the program says about these files, by the file's name without ending.
async fn simulate(hermes: &Path, files: &[PathBuf]) -> anyhow::Result<HashMap<String, Line>> {
    let mut lines = HashMap::new();
    for files in files.chunks(FILES_A_CALL) {
        #[allow(clippy::disallowed_methods, reason = "the program under test")]
        let mut command = tokio::process::Command::new(hermes);
        command.arg("simulate").arg("--json").args(files).stdin(Stdio::null());
        let output = command.output().await.context("run hermes simulate")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success() && !said.contains("panicked"),
            "hermes simulate: {}: {said}",
            output.status
        );
        for line in String::from_utf8(output.stdout)?.lines() {
            let line: Line = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let name = line.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            lines.insert(name, line);
        }
    }
    ensure!(lines.len() == files.len(), "{} lines for {} files", lines.len(), files.len());
    Ok(lines)
}

/// The rows of a table with a head: name to value.
fn rows(path: &Path) -> anyhow::Result<Vec<HashMap<String, String>>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut lines = text.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    let head = lines.next().context("an empty table")?;
    Ok(lines.map(|row| head.iter().cloned().zip(row).collect()).collect())
}

fn field<'a>(row: &'a HashMap<String, String>, name: &str) -> &'a str {
    row.get(name).map(String::as_str).unwrap_or_default()
}

async fn replies(hermes: &Path, folder: &Path) -> anyhow::Result<Score> {
    let rows = rows(&folder.join("manifest.tsv"))?;
    let files: Vec<PathBuf> =
        rows.iter().map(|row| folder.join(format!("{}.eml", field(row, "id")))).collect();
    let lines = simulate(hermes, &files).await?;
    let mut score = Score::default();
    for row in rows.iter().filter(|row| field(row, "kind") != "perf") {
        let id = field(row, "id");
        let said = &lines[id].instruction;
        let wrong = if field(row, "kind") == "assert" {
            asserted(said, &std::fs::read_to_string(folder.join(format!("{id}.assert.json")))?)?
        } else {
            let text = |ending: &str| std::fs::read_to_string(folder.join(format!("{id}.{ending}.txt")));
            let accepted = [Some(text("expected")?), text("alt").ok()];
            compared(said, accepted.iter().flatten(), field(row, "cmp"))
        };
        score.count(id, wrong);
    }
    Ok(score)
}

#[derive(Deserialize)]
struct Asserted {
    must: Vec<String>,
    mustnot: Vec<String>,
}

fn asserted(said: &str, wanted: &str) -> anyhow::Result<Option<String>> {
    let wanted: Asserted = serde_json::from_str(wanted)?;
    let said = single_spaced(said);
    let has = |part: &String| said.contains(&single_spaced(part));
    Ok(kind(wanted.mustnot.iter().any(has), !wanted.must.iter().all(has)))
}

/// None when the text is one of those accepted; else in which way it is not the first.
fn compared<'a>(said: &str, accepted: impl Iterator<Item = &'a String> + Clone, how: &str) -> Option<String> {
    let plain = |text: &str| {
        if how == "nows" { text.split_whitespace().map(visible).collect() } else { single_spaced(text) }
    };
    if accepted.clone().any(|text| plain(text) == plain(said)) {
        return None;
    }
    let wanted = accepted.clone().next().map(String::as_str).unwrap_or_default();
    let missing = |lines: &str, text: &str| lines.lines().any(|line| !plain(text).contains(&plain(line)));
    let (kept, lost) = (missing(said, wanted), missing(wanted, said));
    kind(kept, lost).or_else(|| Some("otherwise".to_owned()))
}

fn kind(kept: bool, lost: bool) -> Option<String> {
    match (kept, lost) {
        (false, false) => None,
        (true, false) => Some("kept quote or signature".to_owned()),
        (false, true) => Some("lost line".to_owned()),
        (true, true) => Some("kept quote or signature and lost line".to_owned()),
    }
}

fn visible(text: &str) -> String {
    text.replace('\u{200b}', "")
}

fn single_spaced(text: &str) -> String {
    visible(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

async fn automatic(hermes: &Path, folder: &Path) -> anyhow::Result<Score> {
    let rows = rows(&folder.join("manifest.tsv"))?;
    let files: Vec<PathBuf> =
        rows.iter().map(|row| folder.join(format!("{}.eml", field(row, "id")))).collect();
    let lines = simulate(hermes, &files).await?;
    let mut score = Score::default();
    for row in rows.iter().filter(|row| field(row, "act") != "policy") {
        let (id, acts) = (field(row, "id"), !lines[field(row, "id")].automatic);
        let wrong = match (field(row, "act") == "yes", acts) {
            (true, false) => Some("normal mail stopped".to_owned()),
            (false, true) => Some(format!("{} let through", field(row, "class"))),
            _ => None,
        };
        score.count(id, wrong);
    }
    Ok(score)
}

async fn torture(hermes: &Path, folder: &Path) -> anyhow::Result<Score> {
    let text = std::fs::read_to_string(folder.join("expected.jsonl"))?;
    let stated: Vec<serde_json::Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let id = |stated: &serde_json::Value| stated["id"].as_str().unwrap_or_default().to_owned();
    let files: Vec<PathBuf> =
        stated.iter().map(|stated| folder.join(format!("{}.eml", id(stated)))).collect();
    let lines = simulate(hermes, &files).await?;
    let mut score = Score::default();
    for stated in &stated {
        let line = &lines[&id(stated)];
        let suite = &stated["suite"];
        let texts = [("subject", Some(line.subject.as_str())), ("from", line.from.as_deref())];
        for (name, said) in texts {
            if let Some(wanted) = suite[name].as_str() {
                let right = said.is_some_and(|said| single_spaced(said) == single_spaced(wanted));
                score.count(&id(stated), (!right).then(|| name.to_owned()));
            }
        }
        if let Some(wanted) = suite["attachments"].as_u64() {
            let right = line.attachments.len() as u64 == wanted;
            score.count(&id(stated), (!right).then(|| "attachments".to_owned()));
        }
    }
    Ok(score)
}

async fn threads(hermes: &Path, folder: &Path) -> anyhow::Result<Score> {
    let mut score = Score::default();
    for set in rows(&folder.join("manifest.tsv"))?.iter().filter(|set| field(set, "score") == "yes") {
        let name = field(set, "set");
        let folder = folder.join(name);
        let messages = rows(&folder.join("messages.tsv"))?;
        let files: Vec<PathBuf> = messages.iter().map(|row| folder.join(field(row, "file"))).collect();
        let lines = simulate(hermes, &files).await?;
        let thread =
            |file: &str| lines.get(file.trim_end_matches(".eml")).and_then(|line| line.thread.id.clone());
        for pair in rows(&folder.join("pairs.tsv"))? {
            let (a, b) = (field(&pair, "a"), field(&pair, "b"));
            let same = thread(a).is_some() && thread(a) == thread(b);
            let right = same == (field(&pair, "expected") == "same");
            let kind = if same { "joined wrongly" } else { "not joined" };
            score.count(&format!("{name}/{a}-{b}"), (!right).then(|| kind.to_owned()));
        }
    }
    Ok(score)
}
