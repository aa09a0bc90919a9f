//! Mails made to cost far more than their bytes. Each is read within 300 ms of processor time of a release build (a debug
//! build gets ten times as long) and 64 MB over what its bytes take, whatever it ends as. A program of its own: the peak of
//! memory is the process's.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says what it measured")]

const MEGABYTE: usize = 1024 * 1024;

/// A figure of this process's memory in kilobytes.
fn memory_kb(field: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap()
}

/// What it holds now, from where its peak counts anew (proc(5), `clear_refs`).
fn peak_begins_at() -> i64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    memory_kb("VmRSS")
}

/// Milliseconds of processor time of this thread's process.
fn spent() -> i64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).unwrap();
    let millis = |time: nix::sys::time::TimeVal| time.tv_sec() * 1000 + time.tv_usec() / 1000;
    millis(usage.user_time()) + millis(usage.system_time())
}

fn html(body: &str) -> String {
    format!("From: a@b.c\nContent-Type: text/html\n\n{body}")
}

fn bombs() -> Vec<(&'static str, String)> {
    let head = "From: a@b.c\nSubject: x\n";
    let mixed = format!("{head}Content-Type: multipart/mixed; boundary=b\n\n");
    let nested_parts: String = (0..2000)
        .map(|n| format!("--b{n}\nContent-Type: multipart/mixed; boundary=b{}\n\n", n + 1))
        .collect::<Vec<_>>()
        .concat();
    vec![
        ("parts", format!("{mixed}{}", "--b\n\n".repeat(2_000_000))),
        ("parts below the cap", format!("{mixed}{}", "--b\nContent-Type: text/plain\n\nhello\n".repeat(999))),
        ("parts in parts", format!("{head}Content-Type: multipart/mixed; boundary=b0\n\n{nested_parts}")),
        ("mails in mails", format!("{head}{}", "Content-Type: message/rfc822\n\n".repeat(300_000))),
        ("mails in mails below the cap", format!("{head}{}", "Content-Type: message/rfc822\n\n".repeat(99))),
        (
            "mails in mails, a blank in their kind",
            format!("{head}{}", "Content-Type: message /rfc822\n\n".repeat(24_000)),
        ),
        ("mails in mails, folded", format!("{head}{}", "Content-Type: message\n /rfc822\n\n".repeat(24_000))),
        (
            "mails in mails, with a comment",
            format!("{head}{}", "Content-Type: message(x)/global\n\n".repeat(24_000)),
        ),
        (
            "mails in mails, encoded",
            format!(
                "{head}Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n{}",
                "Content-Type: message/rfc822\n\n".repeat(24_000)
            ),
        ),
        (
            "digests in digests",
            format!(
                "{head}{}",
                "Content-Type: multipart/digest; boundary*=utf-8''b\n\n--b\n\n".repeat(12_000)
            ),
        ),
        (
            "parts between a boundary that stands behind another",
            format!(
                "{head}Content-Type: multipart/mixed; xboundary=1; boundary=b\n\n{}",
                "--b\n".repeat(2_000_000)
            ),
        ),
        ("parts on one line", format!("{mixed}{}", "x--b\ty\n".repeat(500_000))),
        (
            "boundaries that never come",
            format!(
                "{mixed}{}{}",
                "--b\nContent-Type: multipart/mixed; boundary=never\n\n".repeat(990),
                "x".repeat(8 * MEGABYTE)
            ),
        ),
        ("short fields", format!("{head}{}\nhello", "a:\n".repeat(340_000))),
        ("short fields of a part", format!("{mixed}--b\n{}\nhello\n--b--\n", "a:\n".repeat(340_000))),
        ("recipients", format!("{head}To: {}\n\nhello", "a@b.cc, ".repeat(120_000))),
        (
            "recipients of a part",
            format!("{mixed}--b\nTo: {}\n\nhello\n--b--\n", "a@b.cc, ".repeat(1_000_000)),
        ),
        ("references", format!("{head}References: {}\n\nhello", "<a@b>\n ".repeat(140_000))),
        ("fields", format!("{head}{}\nhello", "X-A: b\n".repeat(145_000))),
        ("fields of a part", format!("{mixed}--b\n{}\nhello\n--b--\n", "X-A: b\n".repeat(1_000_000))),
        ("a large header", format!("{head}X-A: {}\n\nhello", "b".repeat(2 * MEGABYTE))),
        ("encoded words", format!("{head}Subject: {}\n\nhello", "=?utf-8?q?=41?= ".repeat(60_000))),
        (
            "continuations of a parameter",
            format!(
                "{head}Content-Type: text/plain;{}\n\nhello",
                (0..40_000).map(|n| format!(" n*{n}=x;")).collect::<Vec<_>>().concat()
            ),
        ),
        (
            "pieces of different parameters",
            format!(
                "{head}Content-Type: text/plain;{}\n\nhello",
                (0..60_000).map(|n| format!(" n{n}*1=x;")).collect::<Vec<_>>().concat()
            ),
        ),
        (
            "pieces of different parameters in a part",
            format!(
                "{mixed}--b\nContent-Type: text/plain;{}\n\nhello\n--b--\n",
                (0..70_000).map(|n| format!(" n{n}*=a'b'x;")).collect::<Vec<_>>().concat()
            ),
        ),
        (
            "parameters and marks of letters",
            format!(
                "{head}Content-Type: text/plain;{}z*=u'{}\n\nhello",
                "a=b;".repeat(120_000),
                "x'".repeat(240_000)
            ),
        ),
        (
            "parameters and as many marks of letters as are taken",
            format!(
                "{head}Content-Type: text/plain;{}z*=u'{}\n\nhello",
                "a=b;".repeat(240_000),
                "x'".repeat(990)
            ),
        ),
        (
            "parameters and as many pieces as are taken",
            format!(
                "{head}Content-Type: text/plain;{}{}\n\nhello",
                "a=b;".repeat(240_000),
                (0..490).map(|n| format!(" n*{n}*=x;")).collect::<Vec<_>>().concat()
            ),
        ),
        (
            "a boundary as long as is taken, and dashes",
            format!(
                "{head}Content-Type: multipart/mixed; boundary=\"{}x\"\n\n{}",
                "-".repeat(98),
                "-".repeat(36 * MEGABYTE)
            ),
        ),
        ("large mails within it that are encoded", {
            let one = "aGVsbG8K".repeat(MEGABYTE);
            let parts =
                format!("--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{one}\n")
                    .repeat(4);
            format!("{mixed}{parts}--b--\n")
        }),
        (
            "many parameters",
            format!(
                "{head}Content-Type: text/plain;{}\n\nhello",
                (0..60_000).map(|n| format!(" n{n}=x;")).collect::<Vec<_>>().concat()
            ),
        ),
        (
            "a boundary of dashes",
            format!(
                "{head}Content-Type: multipart/mixed; boundary=\"{}x\"\n\n{}",
                "-".repeat(400_000),
                "-".repeat(1_500_000)
            ),
        ),
        (
            "fields of a part below a blank line that is none",
            format!("{mixed}--b\nX: y\n \n{}\nhello\n--b--\n", "a:\n".repeat(3_000_000)),
        ),
        (
            "recipients of a part below a blank line that is none",
            format!("{mixed}--b\nX: y\n \nTo: {}\n\nhello\n--b--\n", "a@b,".repeat(2_000_000)),
        ),
        ("groups", format!("{head}To: {}\n\nhello", "a b:c d;".repeat(125_000))),
        (
            "encoded words without an end",
            format!("{head}Subject: {}\n\nhello", "=?utf-8?q?x ".repeat(85_000)),
        ),
        ("encoded words that run on", format!("{head}Subject: {}\n\nhello", "=?aa?q?x".repeat(125_000))),
        ("encoded words in names", format!("{head}To: {}\n\nhello", "=?aa?q?x ".repeat(110_000))),
        (
            "encoded words that fail at their end",
            format!("{head}Subject: {}=zz?=\n\nhello", "=?aa?q?x\n ".repeat(12_000)),
        ),
        (
            "encoded words in a part",
            format!(
                "{mixed}--b\nContent-Type: text/plain; name=\"{}\"\n\nhello\n--b--\n",
                "=?aa?q?x".repeat(125_000)
            ),
        ),
        ("encoded words that are none", format!("{head}To: {}\n\nhello", "=?".repeat(500_000))),
        ("comments in comments", format!("{head}To: {} a@b.c\n\nhello", "(".repeat(500_000))),
        ("open tags", html(&"<div>".repeat(MEGABYTE / 5))),
        ("quotes in quotes", html(&"<blockquote>a".repeat(80_000))),
        ("end tags of nothing", html(&format!("{}{}", "<b>".repeat(20_000), "</i>".repeat(100_000)))),
        (
            "one tag with attributes",
            html(&format!("<p {}>x", (0..100_000).map(|n| format!("a{n}=b ")).collect::<Vec<_>>().concat())),
        ),
        ("headlines without end", format!("{head}\n{}", "On Mon, 3 Mar 2025 Hermes <h@x.y\n".repeat(60_000))),
        ("empty lines", format!("{head}\nhello\n{}", "\n".repeat(2 * MEGABYTE))),
        (
            "headlines and nothing else",
            format!("{head}\n{}", "On 3 Mar 2025 Hermes <h@x.y> wrote:\n\n".repeat(50_000)),
        ),
        (
            "headlines of nobody",
            format!(
                "{head}\n{}",
                "On 3 Mar 2025 we wrote, or nobody, as some say, in a letter a@b.c to all:\n".repeat(20_000)
            ),
        ),
        (
            "headlines without a verb",
            format!(
                "{head}\n{}",
                "On 3 Mar 2025 we open at 9, and at 10 for those who come later than that:\n".repeat(20_000)
            ),
        ),
        (
            "headlines between dashes",
            format!(
                "{head}\n{}",
                "---- On 3 Mar 2025 we open at 9, and at 10 for those who come later than that ----\n"
                    .repeat(20_000)
            ),
        ),
        (
            "HTML below a long text",
            format!(
                "{mixed}--b\n\n{}\n{}",
                "word ".repeat(400_000),
                "--b\nContent-Type: text/html\n\nword\n".repeat(900)
            ),
        ),
        (
            "fields of no header",
            format!(
                "{head}\n{}",
                "From: a b: c: d: e: f: g: h: i: j: k: l: m: n: o: p: q: r: s: t: u: v: w:\n".repeat(20_000)
            ),
        ),
        (
            "links in one line",
            html(&(0..75_000).map(|n| format!("<a href=http://x.yz/{n}>a</a>")).collect::<Vec<_>>().concat()),
        ),
        (
            "links in links",
            html(&format!(
                "{}{}{}",
                "<a href=http://x.yz>".repeat(200),
                "ab ".repeat(500_000),
                "</a>".repeat(200)
            )),
        ),
        (
            "breaks and links behind blanks",
            html(&format!("<pre>{}{}", " ".repeat(MEGABYTE), "<br><a href=http://x.yz> </a>".repeat(30_000))),
        ),
        ("one long line", format!("{head}\n{}", "On > 3 Mar 2025 ".repeat(130_000))),
        ("marks", format!("{head}\n{}", ">".repeat(2 * MEGABYTE))),
        ("rules", format!("{head}\nhello\n{}", "-- \n---\n".repeat(50_000))),
        (
            "lines that flow",
            format!(
                "{head}Content-Type: text/plain; format=flowed; delsp=yes\n\n{}",
                "> a \nb \n".repeat(500_000)
            ),
        ),
        (
            "one paragraph that flows",
            format!("{head}Content-Type: text/plain; format=flowed\n\n{}", "a \n".repeat(700_000)),
        ),
        (
            "signed texts",
            format!(
                "{head}\n{}",
                "-----BEGIN PGP SIGNED MESSAGE-----\n- a\n-----END PGP SIGNATURE-----\n".repeat(40_000)
            ),
        ),
        ("letters that nobody states", format!("{head}\n{}", "\u{fc}\n".repeat(MEGABYTE))),
        ("closings", format!("{head}\nhello\n{}", "Regards,\nScott\n\n".repeat(50_000))),
        (
            "closings that are announced",
            format!("{head}\nhello:\n{}", "Regards,\n--\nScott\n".repeat(50_000)),
        ),
        ("lines of phones", format!("{head}\nhello\n{}", "Sent from my red and old phone!\n".repeat(50_000))),
        ("postscripts", format!("{head}\nhello\n{}", "Regards,\nScott\nPS: red\n".repeat(50_000))),
    ]
}

#[test]
fn mails_that_multiply_are_read_or_refused_within_bounds() {
    let (own, key) = (
        common::domain::ids::EmailAddress::parse("hermes@localhost").unwrap(),
        hermes::secrets::SecretKey::fleeting(),
    );
    let desk = hermes::mail::Desk { own: &own, places: &[], key: &key };
    let allowed_ms = if cfg!(debug_assertions) { 3000 } else { 300 };
    let bombs = bombs();
    assert!(bombs.len() >= 20);
    for (name, raw) in bombs {
        let (kb, ms) = (peak_begins_at(), spent());
        let understood = hermes::simulate::understand(raw.as_bytes(), desk);
        let (kb, ms) = (memory_kb("VmHWM") - kb, spent() - ms);
        println!("{name}: {} KB, {ms} ms, {kb} KB more memory at most", raw.len() / 1024);
        drop(understood);
        assert!(ms <= allowed_ms, "{name} took {ms} ms");
        assert!(kb <= 64 * 1024, "{name} took {kb} KB");
    }
}

#[test]
fn a_text_of_more_lines_than_anybody_writes_is_read_as_far_as_that() {
    let lines = |body: &str, kind: &str| {
        let raw = format!("From: a@b.c\nContent-Type: text/{kind}\n\nBlue.\n{body}");
        let mail = hermes::mail::read(raw.as_bytes()).unwrap();
        assert!(mail.text.starts_with("Blue."));
        mail.text.lines().count()
    };
    assert_eq!(lines(&"> red\n".repeat(30_000), "plain"), 20_000);
    // Between paragraphs is an empty line; one at the end is left out.
    assert_eq!(lines(&"<p>red</p>\n".repeat(30_000), "html"), 19_999);
    assert_eq!(lines(&"> red\n".repeat(10_000), "plain"), 10_001);
}
