//! One mail of 20 KB, read again and again by hermes, npm mailparser and Python's email package: each in a process of its
//! own, in turns, five rounds; the medians as a table. `RIVALS` is the folder below which mailparser is installed.

#![allow(clippy::print_stdout, reason = "the table is the answer")]
#![allow(clippy::disallowed_methods, reason = "it measures other programs, and is none that is shipped")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::domain::ids::EmailAddress;
use hermes::mail::Desk;
use hermes::secrets::SecretKey;
use hermes::simulate::understand;

const ROUNDS: usize = 5;
const ONE_RUN: Duration = Duration::from_secs(1);
const MAIL_BYTES: usize = 20 * 1024;

/// What one process found out.
#[derive(Debug, Clone, Copy)]
struct Run {
    per_second: f64,
    peak_kb: f64,
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "parse", file] => alone(file, |raw, _| {
            drop(hermes::mail::read(raw)?);
            Ok(())
        }),
        [_, "everything", file] => alone(file, |raw, desk| {
            drop(understand(raw, desk));
            Ok(())
        }),
        _ => compare(),
    }
}

fn compare() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mail.eml");
    std::fs::write(&file, letter())?;
    let rivals = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/rivals");
    let me = std::env::current_exe()?;
    let millis = ONE_RUN.as_millis().to_string();
    let contestants = [
        ("hermes: parse", me.clone(), vec!["parse".into()], vec![]),
        ("hermes: parse, screen, thread, instruction", me, vec!["everything".into()], vec![]),
        ("npm mailparser", "node".into(), vec![rivals.join("mailparser.mjs")], vec![millis.clone()]),
        ("Python email", "python3".into(), vec![rivals.join("email_package.py")], vec![millis]),
    ];
    let mut runs = vec![Vec::new(); contestants.len()];
    for _ in 0..ROUNDS {
        for ((_, program, before, after), runs) in contestants.iter().zip(&mut runs) {
            runs.push(run(Command::new(program).args(before).arg(&file).args(after))?);
        }
    }
    let names = contestants.iter().map(|(name, ..)| *name);
    let medians: Vec<_> =
        names.zip(&runs).map(|(name, runs)| (name, of(runs, |run| run.per_second), runs)).collect();
    let rival = |name: &str| {
        medians.iter().find(|(found, ..)| *found == name).map_or(f64::NAN, |(_, rate, _)| rate.1)
    };
    println!(
        "| who | mails per second, median (min to max) | beside mailparser | beside Python | memory at most |"
    );
    println!("|---|---|---|---|---|");
    for (name, (least, rate, most), runs) in &medians {
        println!(
            "| {name} | {rate:.0} ({least:.0} to {most:.0}) | {:.1}x | {:.1}x | {:.1} MiB |",
            rate / rival("npm mailparser"),
            rate / rival("Python email"),
            of(runs, |run| run.peak_kb).1 / 1024.0,
        );
    }
    for (name, bar) in [("hermes: parse", 10.0), ("hermes: parse, screen, thread, instruction", 5.0)] {
        let over = rival(name) / rival("npm mailparser").max(rival("Python email"));
        println!("{name}: {over:.1}x the faster rival; the bar is {bar}x");
        ensure!(over >= bar, "{name} is below its bar");
    }
    Ok(())
}

/// Reads the file for a while, and says how often and with how much memory.
fn alone(file: &str, read: fn(&[u8], Desk<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let raw = std::fs::read(file)?;
    let (own, key) = (EmailAddress::parse("hermes@localhost")?, SecretKey::fleeting());
    let desk = Desk { own: &own, places: &[], key: &key };
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < ONE_RUN {
        read(&raw, desk)?;
        count += 1;
    }
    let per_second = f64::from(count) / begun.elapsed().as_secs_f64();
    let peak = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?.max_rss();
    println!("{per_second} {peak}");
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<Run> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let (per_second, peak_kb) = said.trim().split_once(' ').context("two figures")?;
    Ok(Run { per_second: per_second.parse()?, peak_kb: peak_kb.parse()? })
}

/// Least, median and most.
fn of(runs: &[Run], figure: fn(&Run) -> f64) -> (f64, f64, f64) {
    let mut all: Vec<f64> = runs.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    (all[0], all[all.len() / 2], all[all.len() - 1])
}

/// A reply as a mail program writes it: text and HTML with what it quotes, and a picture.
fn letter() -> String {
    let mut quoted = String::new();
    for line in 1..=40 {
        let _ = writeln!(quoted, "On page {line} the hours are 9 to 5, and the café is closed on Mondays.");
    }
    let marked = quoted.lines().map(|line| format!("> {line}\r\n")).collect::<Vec<_>>().concat();
    let lines = quoted.lines().map(|line| format!("<div>{line}</div>\r\n")).collect::<Vec<_>>().concat();
    let head = "Received: from mx.example.org by mx.localhost; Tue, 3 Mar 2026 10:00:02 +0000\r\nFrom: Scott Example <scott@example.org>\r\nTo: Hermes <hermes@localhost>\r\nSubject: Re: =?utf-8?q?Caf=C3=A9?= hours\r\nDate: Tue, 3 Mar 2026 10:00:00 +0000\r\nMessage-ID: <b@example.org>\r\nIn-Reply-To: <a@localhost>\r\nReferences: <z@localhost> <a@localhost>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n";
    let text = format!(
        "--a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nPlease open at 8 from now on.\r\n\r\nOn Tue, 3 Mar 2026 at 09:00, Hermes <hermes@localhost> wrote:\r\n{marked}\r\n"
    );
    let html = format!(
        "--a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<div dir=\"ltr\">Please open at 8 from now on.</div><div class=\"gmail_quote\"><div class=\"gmail_attr\">On Tue, 3 Mar 2026 at 09:00, Hermes wrote:<br></div><blockquote class=\"gmail_quote\">{lines}</blockquote></div>\r\n--a--\r\n"
    );
    let file = "--m\r\nContent-Type: image/png; name=\"sign.png\"\r\nContent-Disposition: attachment; filename=\"sign.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let (end, line) =
        ("--m--\r\n", "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA\r\n");
    let mut all = [head, &text, &html, file].concat();
    while all.len() + line.len() + end.len() <= MAIL_BYTES {
        all.push_str(line);
    }
    all + end
}
