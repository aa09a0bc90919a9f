//! Text that a person does not see but a model reads: removed, and said so.

/// Text without invisible characters, and how many of them were there to hide something.
pub(super) fn visible(text: &str) -> (String, usize) {
    let mut hidden = 0;
    let kept = text
        .chars()
        .filter(|c| match c {
            // Tag characters spell words that nobody sees.
            // The others turn the order of what is shown around.
            '\u{e0000}'..='\u{e0fff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                hidden += 1;
                false
            }
            // No width: of no use to a reader, and common in what mail programs write.
            '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}' | '\u{180e}' => false,
            _ => true,
        })
        .collect();
    (kept, hidden)
}

/// Whether an element with this inline style is not to be seen.
pub(super) fn is_hidden(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    let mut colour = None;
    let mut ground = None;
    for (name, value) in style.split(';').filter_map(|rule| rule.split_once(':')) {
        let (name, value) = (name.trim(), value.trim().trim_end_matches("!important").trim());
        let gone = match name {
            "display" => value == "none",
            "visibility" => value == "hidden" || value == "collapse",
            "font-size" | "max-height" | "max-width" | "opacity" | "line-height" => is_nothing(value, name),
            "mso-hide" => value == "all",
            "text-indent" | "left" | "top" | "margin-left" => value.starts_with("-999"),
            _ => false,
        };
        if gone {
            return true;
        }
        match name {
            "color" => colour = Some(value.to_owned()),
            "background" | "background-color" => ground = Some(value.to_owned()),
            _ => {}
        }
    }
    colour.is_some_and(|colour| {
        colour == "transparent" || is_like(&colour, ground.as_deref().unwrap_or("white"))
    })
}

/// Zero, or so small that nobody reads it.
fn is_nothing(value: &str, name: &str) -> bool {
    let end = value.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(value.len());
    let Ok(number) = value[..end].parse::<f32>() else { return false };
    let least = if name == "font-size" && !value[end..].starts_with("em") && !value[end..].starts_with('%') {
        1.0
    } else {
        0.01
    };
    number < least || name == "font-size" && value[end..].starts_with("px") && number <= 1.0
}

/// Whether two colours cannot be told apart.
fn is_like(one: &str, other: &str) -> bool {
    match (rgb(one), rgb(other)) {
        (Some(one), Some(other)) => one.iter().zip(other).all(|(a, b)| a.abs_diff(b) <= 8),
        _ => false,
    }
}

fn rgb(colour: &str) -> Option<[u8; 3]> {
    let colour = colour.trim();
    if let Some(hex) = colour.strip_prefix('#') {
        let wide: String =
            if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() };
        let part = |at: usize| u8::from_str_radix(wide.get(at..at + 2)?, 16).ok();
        return Some([part(0)?, part(2)?, part(4)?]);
    }
    if let Some(parts) = colour.strip_prefix("rgb(").or_else(|| colour.strip_prefix("rgba(")) {
        let mut numbers = parts.trim_end_matches(')').split(',').map(|part| part.trim().parse().ok());
        return Some([numbers.next()??, numbers.next()??, numbers.next()??]);
    }
    match colour {
        "white" => Some([255; 3]),
        "black" => Some([0; 3]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_hidden() {
        for style in [
            "display:none",
            "color: #fff",
            "color:#FFFFFE; background: white",
            "font-size:0",
            "font-size: 0px;",
            "font-size:1px",
            "VISIBILITY: hidden !important",
            "opacity:0",
            "max-height:0;overflow:hidden",
            "color:rgb(1,1,1);background-color:#000",
            "mso-hide:all",
        ] {
            assert!(is_hidden(style), "{style}");
        }
        for style in [
            "",
            "color:#000",
            "color:white;background:#123456",
            "font-size:10pt",
            "line-height:1.5",
            "opacity: 0.8",
            "font-size:0.9em",
            "line-height:100%",
        ] {
            assert!(!is_hidden(style), "{style}");
        }
    }

    #[test]
    fn characters_that_show_nothing_are_removed_and_those_that_hide_words_are_counted() {
        let (text, hidden) =
            visible("Blue\u{e0041}\u{e0042}\u{200b} please\u{202e} \u{1f468}\u{200d}\u{1f469}");
        assert_eq!((text.as_str(), hidden), ("Blue please \u{1f468}\u{200d}\u{1f469}", 3));
    }
}
