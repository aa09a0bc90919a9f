//! Whether a text holds something like a date, in whatever order and with whatever signs its parts are written.

/// A run of digits and what stands right behind it.
struct Digits {
    value: u32,
    len: usize,
    next: Option<char>,
    end: usize,
    start: usize,
}

fn runs(text: &str) -> Vec<Digits> {
    let mut runs = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && runs.len() < 64 {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && bytes[at].is_ascii_digit() {
            at += 1;
        }
        let value = text[start..at].parse().unwrap_or(u32::MAX);
        runs.push(Digits { value, len: at - start, next: text[at..].chars().next(), end: at, start });
    }
    runs
}

/// A year, a day by numbers or a time of day.
pub(super) fn has_date(text: &str) -> bool {
    let runs = runs(text);
    runs.iter().any(is_year) || runs.windows(2).any(is_time) || runs.windows(3).any(is_day)
}

/// A time of day, with a colon, a full stop or an `h` in it.
pub(super) fn has_time(text: &str) -> bool {
    let runs = runs(text);
    runs.windows(2).enumerate().any(|(at, pair)| {
        let (hour, minute) = (&pair[0], &pair[1]);
        let dotted = matches!(hour.next, Some('.' | 'h' | 'H')) && hour.end + 1 == minute.start;
        let of_day = runs.get(at + 2).is_some_and(|next| minute.end + 1 == next.start)
            || at > 0 && runs[at - 1].end + 1 == hour.start;
        is_time(pair) || dotted && !of_day && hour.len <= 2 && minute.len == 2 && hour.value < 25
    }) || runs.iter().any(|digits| matches!(digits.next, Some('時' | '时' | '点' | '시')))
}

/// Whether it begins with a day by numbers, as in `2017-02-05`, `30.09.2017` or `2016年`.
pub(super) fn begins_with_date(text: &str) -> bool {
    let runs = runs(text.get(..40).unwrap_or(text));
    let first = runs.first().filter(|first| first.start == 0);
    first.is_some_and(|first| first.next == Some('年'))
        || first.is_some() && runs.get(..3).is_some_and(is_day)
}

fn is_year(digits: &Digits) -> bool {
    digits.len == 4 && (1970..2100).contains(&digits.value)
}

fn is_time(pair: &[Digits]) -> bool {
    let (hour, minute) = (&pair[0], &pair[1]);
    hour.len <= 2
        && minute.len == 2
        && hour.next == Some(':')
        && hour.end + 1 == minute.start
        && hour.value < 25
}

fn is_day(parts: &[Digits]) -> bool {
    let together = parts
        .windows(2)
        .all(|pair| pair[0].end + 1 == pair[1].start && matches!(pair[0].next, Some('-' | '/' | '.')));
    together && parts.iter().all(|part| part.len <= 2 || is_year(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_many_kinds_are_seen() {
        for text in ["3 mar 2025", "04/19/11", "30.9.2017", "at 6:54 pm", "2016年11月8日", "11-04-2011"] {
            assert!(has_date(text), "{text}");
        }
        for text in ["version 1.2", "9 to 5", "room 12345", "call 555-0123", ""] {
            assert!(!has_date(text), "{text}");
        }
        assert!(begins_with_date("2013/12/15 bob") && begins_with_date("2016年11月"));
        assert!(!begins_with_date("on 2013/12/15") && !begins_with_date("15 bobs"));
    }
}
