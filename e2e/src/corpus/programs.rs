//! Mails as mail programs of many languages write them, made from a seed in the form of the corpus, so that rules found on
//! real mails are held against others: another origin, other people, other words. Nothing here knows the tables of hermes.

mod machines;
mod shapes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

const LANGUAGES: &str = include_str!("programs.txt");

/// Seeds of one language and program.
const MAILS_OF_EACH: usize = 3;

/// Who writes and who is quoted.
const PEOPLE: [(&str, &str); 12] = [
    ("Amélie Laurent", "amelie.laurent@atelier-laurent.example"),
    ("Jürgen Groß", "j.gross@baeckerei-gross.example"),
    ("Doe, Jane (Sales)", "jane.doe@doe-and-sons.example"),
    ("Sean O'Brien", "sean@obrien.example"),
    ("山田 太郎", "taro.yamada@kissaten.example"),
    ("Иван Петров", "ivan.petrov@pekarnya.example"),
    ("Webordinary", "hermes+4afb8d52c21781308de7.9f86d081884c7d65@mail.webordinary.example.net"),
    ("María José Núñez", "mj@nunez.example"),
    ("Ödön Kiss", "odon.kiss@cukraszda.example"),
    ("info@hotel-post.example", "info@hotel-post.example"),
    ("Łukasz Żak", "lukasz@zak.example"),
    ("Bob", "bob@example.org"),
];

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap_or(0)
    }

    /// One of them.
    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.next() % of.len()]
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.next().is_multiple_of(times)
    }
}

/// The phrases of a language by what they are for.
#[derive(Default)]
pub(super) struct Language {
    phrases: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Language {
    /// All of a kind; none where the language has none.
    pub(super) fn all(&self, kind: &str) -> &[&'static str] {
        self.phrases.get(kind).map_or(&[], Vec::as_slice)
    }

    /// One of a kind, its line breaks as such.
    pub(super) fn one(&self, kind: &str, dice: &mut Dice) -> Option<String> {
        let all = self.all(kind);
        (!all.is_empty()).then(|| dice.one(all).replace("\\n", "\n"))
    }
}

fn languages() -> BTreeMap<&'static str, Language> {
    let mut all: BTreeMap<&'static str, Language> = BTreeMap::new();
    let mut current = "";
    for line in LANGUAGES.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            current = name;
        } else if let Some((kind, phrase)) = line.split_once(": ").filter(|_| !line.starts_with('#')) {
            all.entry(current).or_default().phrases.entry(kind).or_default().push(phrase);
        }
    }
    all
}

/// Writes a corpus of such mails into an empty folder.
pub fn write(folder: &Path, seed: u64) -> anyhow::Result<()> {
    for part in ["replies", "auto", "torture", "threads"] {
        std::fs::create_dir_all(folder.join(part))?;
    }
    let mut dice = Dice(seed);
    let mut replies = "id\tkind\tcmp\n".to_owned();
    let mut auto = "id\tclass\tact\n".to_owned();
    for (name, language) in &languages() {
        for (program, shape) in shapes::PROGRAMS {
            for number in 0..MAILS_OF_EACH {
                let Some(mail) = shape(language, &mut dice) else { continue };
                let id = format!("{name}-{program}-{number}");
                let at = |ending: &str| folder.join(format!("replies/{id}.{ending}"));
                std::fs::write(at("eml"), mail.raw).context("write a mail")?;
                std::fs::write(at("expected.txt"), mail.wanted)?;
                writeln!(replies, "{id}\texact\ttext")?;
            }
        }
        for (number, mail) in machines::mails(name, language, &mut dice).into_iter().enumerate() {
            let id = format!("{name}-{}-{number}", mail.class);
            std::fs::write(folder.join(format!("auto/{id}.eml")), mail.raw)?;
            writeln!(auto, "{id}\t{}\t{}", mail.class, if mail.class == "normal" { "yes" } else { "no" })?;
        }
    }
    std::fs::write(folder.join("replies/manifest.tsv"), replies)?;
    std::fs::write(folder.join("auto/manifest.tsv"), auto)?;
    std::fs::write(folder.join("torture/expected.jsonl"), "")?;
    machines::conversations(&folder.join("threads"))
}
