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

/// In what colours the words of an element are shown, as far as styles tell; it hands them down to those within it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colours {
    words: Option<Paint>,
    ground: Option<Rgb>,
}

impl Default for Colours {
    fn default() -> Self {
        Self { words: None, ground: Some(WHITE) }
    }
}

impl Colours {
    /// With what the attributes `color` and `bgcolor` of older pages say.
    pub(super) fn attributes(self, words: Option<&str>, ground: Option<&str>) -> Self {
        let ours = ground.map_or(self, |value| Self { ground: ground_of(value, self.ground), ..self });
        words.map_or(ours, |value| Self { words: words_of(value, self.words), ..ours })
    }

    /// On a ground that we do not know.
    pub(super) fn on_any(self) -> Self {
        Self { ground: None, ..self }
    }

    /// Whether the words cannot be told from what they stand on.
    pub(super) fn hide(&self) -> bool {
        let Some(words) = self.words else { return false };
        let on = |ground| is_like(words.over(ground), ground);
        words.is_clear() || self.ground.is_some_and(on)
    }
}

/// What an inline style makes of an element.
pub(super) struct Look {
    /// Whether it and all that is in it is not to be seen, whatever their colours.
    pub(super) gone: bool,
    /// Whether its words are struck out.
    pub(super) struck: bool,
    /// Its colours.
    pub(super) colours: Colours,
}

/// Reads an inline style; `around` are the colours it is handed.
pub(super) fn look(style: &str, around: Colours) -> Look {
    let style = style.to_ascii_lowercase();
    let mut look = Look { gone: false, struck: false, colours: around };
    for (name, value) in style.split(';').filter_map(|rule| rule.split_once(':')) {
        let (name, value) = (name.trim(), value.trim().trim_end_matches("!important").trim());
        look.gone |= match name {
            "display" => value == "none",
            "visibility" => value == "hidden" || value == "collapse",
            "font-size" | "max-height" | "max-width" | "opacity" | "line-height" => is_nothing(value, name),
            "mso-hide" => value == "all",
            "text-indent" | "left" | "top" | "margin-left" => value.starts_with("-999"),
            _ => false,
        };
        match name {
            "text-decoration" | "text-decoration-line" => look.struck |= value.contains("line-through"),
            "color" => look.colours.words = words_of(value, around.words),
            "background" | "background-color" => look.colours.ground = ground_of(value, around.ground),
            _ => {}
        }
    }
    look
}

/// Whether an inline style draws no border at any side.
pub(super) fn has_no_border(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    let mut borders = style
        .split(';')
        .filter_map(|rule| rule.split_once(':'))
        .filter(|(name, _)| name.trim().starts_with("border"))
        .peekable();
    let is_none = |value: &str| {
        let value = value.trim_end_matches("!important").trim();
        value.split_ascii_whitespace().any(|word| matches!(word, "none" | "0" | "0px"))
    };
    borders.peek().is_some() && borders.all(|(_, value)| is_none(value.trim()))
}

/// Whether a sheet of styles may lay another ground than a white one under the whole page. Rules for some readers only, such as
/// those who read in the dark, are none for all.
pub(super) fn lays_ground(sheet: &str) -> bool {
    let sheet = sheet.to_ascii_lowercase();
    let (mut depth, mut outer) = (0_usize, "");
    for piece in sheet.split_inclusive(['{', '}']) {
        let said = piece.trim_end_matches(['{', '}']);
        if piece.ends_with('{') {
            outer = if depth == 0 { said } else { outer };
            depth += 1;
        } else {
            if depth == 1 && is_of_page(outer) && has_ground(said) {
                return true;
            }
            depth = depth.saturating_sub(1);
        }
    }
    false
}

/// Whether a rule is one for the whole page.
fn is_of_page(selectors: &str) -> bool {
    let last = selectors.rsplit([';', '>', '/']).next().unwrap_or_default();
    last.split(',').any(|selector| matches!(selector.trim(), "body" | "html"))
}

/// Whether these declarations lay another ground than a white one.
fn has_ground(declared: &str) -> bool {
    let rules = declared.split(';').filter_map(|rule| rule.split_once(':'));
    let mut grounds = rules.filter(|(name, _)| matches!(name.trim(), "background" | "background-color"));
    grounds.any(|(_, value)| {
        let value = value.trim().trim_end_matches("!important");
        !ground_of(value, Some(WHITE)).is_some_and(|ground| is_like(ground, WHITE))
    })
}

fn words_of(value: &str, around: Option<Paint>) -> Option<Paint> {
    if matches!(value, "inherit" | "unset" | "currentcolor") { around } else { paint(value) }
}

/// The ground under an element; none when a picture or a colour we do not know is there.
fn ground_of(value: &str, around: Option<Rgb>) -> Option<Rgb> {
    let value = value.to_ascii_lowercase();
    if value.contains("url(") || value.contains("gradient(") {
        return None;
    }
    match outer_words(&value).find_map(paint) {
        Some(paint) if paint.alpha >= 1.0 => Some(paint.rgb),
        Some(paint) => around.map(|around| paint.over(around)),
        None => around.filter(|_| outer_words(&value).any(|word| SEE_THROUGH.contains(&word))),
    }
}

/// Words of a style that leave the ground as it is.
const SEE_THROUGH: [&str; 6] = ["none", "inherit", "initial", "unset", "revert", "0"];

/// The words of a value; blanks within brackets separate none.
fn outer_words(value: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    value.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c.is_ascii_whitespace()
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

/// Red, green and blue, each from 0 to 255.
type Rgb = [f32; 3];

const WHITE: Rgb = [255.0; 3];

/// A colour, and how much of what is below it it covers, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Paint {
    rgb: Rgb,
    alpha: f32,
}

impl Paint {
    const fn solid(rgb: Rgb) -> Self {
        Self { rgb, alpha: 1.0 }
    }

    fn is_clear(&self) -> bool {
        self.alpha < 0.03
    }

    fn over(&self, below: Rgb) -> Rgb {
        std::array::from_fn(|at| self.rgb[at] * self.alpha + below[at] * (1.0 - self.alpha))
    }
}

/// Whether two colours cannot be told apart.
fn is_like(one: Rgb, other: Rgb) -> bool {
    one.iter().zip(other).all(|(one, other)| (one - other).abs() <= 8.0)
}

fn paint(colour: &str) -> Option<Paint> {
    let colour = colour.trim().to_ascii_lowercase();
    if let Some(hex) = colour.strip_prefix('#') {
        return hexadecimal(hex);
    }
    if let Some(parts) = colour.strip_prefix("rgb(").or_else(|| colour.strip_prefix("rgba(")) {
        return numbers(parts.trim_end_matches(')'));
    }
    match colour.as_str() {
        "white" => Some(Paint::solid(WHITE)),
        "black" => Some(Paint::solid([0.0; 3])),
        "transparent" => Some(Paint { rgb: WHITE, alpha: 0.0 }),
        _ => None,
    }
}

/// `fff`, `ffffff` and the same with an alpha.
fn hexadecimal(hex: &str) -> Option<Paint> {
    let wide: String =
        if hex.len() <= 4 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() };
    let part = |at: usize| u8::from_str_radix(wide.get(at..at + 2)?, 16).ok().map(f32::from);
    let alpha = part(6).map_or(1.0, |alpha| alpha / 255.0);
    Some(Paint { rgb: [part(0)?, part(2)?, part(4)?], alpha })
}

/// `255, 255, 255` or `255 255 255`, and the same with an alpha.
fn numbers(parts: &str) -> Option<Paint> {
    let mut parts = parts.split([',', ' ', '/']).filter(|part| !part.is_empty());
    let rgb = [number(parts.next()?, 255.0)?, number(parts.next()?, 255.0)?, number(parts.next()?, 255.0)?];
    Some(Paint { rgb, alpha: parts.next().and_then(|part| number(part, 1.0)).unwrap_or(1.0) })
}

/// A number as it is, or so many per cent of the whole.
fn number(text: &str, whole: f32) -> Option<f32> {
    match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f32>().ok().map(|percent| percent * whole / 100.0),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_hidden(style: &str) -> bool {
        let look = look(style, Colours::default());
        look.gone || look.colours.hide()
    }

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
            "color:rgba(0, 0, 0, 0)",
            "color:rgb(255 255 255 / 40%)",
            "color:#FFF;background:#fff none repeat",
            "color:white;background:none",
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
            "color:#000;background-color:rgba(0,0,0,0)",
            "color:#000;background:rgba(0, 0, 0, 0.1)",
            "color:#fff;background:#fff url(photo.jpg)",
            "color:#fff;background:navy",
            "color:#fff;background:no-repeat rgb(0, 0, 0)",
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
