//! Text that a person does not see but a model reads: removed, and said so.

use std::collections::HashSet;

/// Sheets of styles are read for so many classes.
const MAX_CLASSES: usize = 500;
/// Of the classes of one element so many are looked up.
const MAX_CLASSES_OF_ONE: usize = 50;

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

/// How the letters of an element are shown, as far as styles tell; it hands this down to the elements within it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Letters {
    colour: Option<Paint>,
    ground: Option<Rgb>,
    /// Whether they are too small to be read.
    tiny: bool,
}

impl Default for Letters {
    fn default() -> Self {
        Self { colour: None, ground: Some(WHITE), tiny: false }
    }
}

impl Letters {
    /// With what the attributes `color` and `bgcolor` of older pages say.
    pub(super) fn attributes(self, colour: Option<&str>, ground: Option<&str>) -> Self {
        let ours = ground.map_or(self, |value| Self { ground: ground_of(value, self.ground), ..self });
        colour.map_or(ours, |value| Self { colour: colour_of(value, self.colour), ..ours })
    }

    /// On a ground that we do not know.
    pub(super) fn on_any(self) -> Self {
        Self { ground: None, ..self }
    }

    /// Whether nobody can read them: they are too small, or cannot be told from what they stand on.
    pub(super) fn hide(&self) -> bool {
        let is_unseen = |colour: Paint| {
            let on = |ground| is_like(colour.over(ground), ground);
            colour.is_clear() || self.ground.is_some_and(on)
        };
        self.tiny || self.colour.is_some_and(is_unseen)
    }
}

/// What an inline style makes of an element.
pub(super) struct Look {
    /// Whether it and all that is in it is not to be seen, whatever their letters are like.
    pub(super) gone: bool,
    /// Whether it says how it is displayed, whatever its classes say.
    pub(super) displayed: bool,
    /// Whether its words are struck out.
    pub(super) struck: bool,
    /// How its letters are shown.
    pub(super) letters: Letters,
}

/// Reads an inline style; `around` is what it is handed.
pub(super) fn look(style: &str, around: Letters) -> Look {
    let style = without_comments(&style.to_ascii_lowercase());
    let mut look = Look { gone: false, displayed: false, struck: false, letters: around };
    let (mut flat, mut cut) = (false, false);
    for (name, value) in declared(&style) {
        look.gone |= match name {
            "visibility" => value == "hidden" || value == "collapse",
            "max-height" | "max-width" | "opacity" => is_nothing(value),
            "mso-hide" => value == "all",
            "text-indent" | "left" | "top" | "right" | "bottom" | "margin-left" | "margin-top" => {
                is_far(value)
            }
            "transform" | "scale" => is_shrunk(name, value),
            "clip-path" => cuts_all(value),
            "filter" => within(value, "opacity").is_some_and(is_zero),
            _ => is_gone(name, value),
        };
        match name {
            "height" | "width" | "line-height" => flat |= is_nothing(value),
            "font-size" => look.letters.tiny = is_tiny(value, around.tiny),
            "font" => look.letters.tiny = font_is_tiny(value, around.tiny),
            "overflow" | "overflow-x" | "overflow-y" => cut |= matches!(value, "hidden" | "clip"),
            "display" => look.displayed = true,
            "text-decoration" | "text-decoration-line" => look.struck |= value.contains("line-through"),
            "color" => look.letters.colour = colour_of(value, around.colour),
            "background" | "background-color" => look.letters.ground = ground_of(value, around.ground),
            _ => {}
        }
    }
    look.gone |= flat && cut;
    look
}

/// The declarations of a style: names and values.
fn declared(style: &str) -> impl Iterator<Item = (&str, &str)> {
    let rules = style.split(';').filter_map(|rule| rule.split_once(':'));
    rules.map(|(name, value)| (name.trim(), value.trim().trim_end_matches("!important").trim()))
}

fn is_gone(name: &str, value: &str) -> bool {
    name == "display" && value == "none"
}

/// What stands between `/*` and `*/` says nothing.
fn without_comments(style: &str) -> String {
    let mut parts = style.split("/*");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| kept.push_str(part.split_once("*/").map_or("", |(_, rest)| rest)));
    kept
}

/// Whether letters of this size are too small to be read; `around` says the same of those around them.
fn is_tiny(size: &str, around: bool) -> bool {
    let end = size.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(size.len());
    let Ok(number) = size[..end].parse::<f32>() else { return around };
    let unit = size[end..].trim();
    if unit.is_empty() && number > 0.0 {
        return around; // Nothing but zero goes without a unit.
    }
    let of_those_around = matches!(unit, "em" | "ex" | "ch" | "%");
    around && of_those_around || number * pixels(unit) < MIN_PIXELS
}

/// The size within `font` may have the height of lines behind it, as in `0/0`; a weight such as 400 is a number as well.
fn font_is_tiny(font: &str, around: bool) -> bool {
    let is_number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let size = |word: &str| is_tiny(word, around);
    let font = font.split('/').next().unwrap_or_default();
    font.split_whitespace().filter(is_number).any(size)
}

/// Whether it moves words out of every page.
fn is_far(value: &str) -> bool {
    let Some(value) = value.strip_prefix('-') else { return false };
    let end = value.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(value.len());
    let far = if value[end..].contains("em") || value[end..].starts_with('v') { 100.0 } else { 900.0 };
    value[..end].parse::<f32>().is_ok_and(|number| number >= far)
}

/// Whether it makes a point of words, or moves them far away.
fn is_shrunk(name: &str, value: &str) -> bool {
    let values = if name == "scale" { Some(value) } else { within(value, "scale") };
    let of = |values: &str| values.split([',', ' ', ')']).any(|number| is_zero(number.trim()));
    values.is_some_and(of)
        || within(value, "translate").is_some_and(|values| values.split(',').any(|by| is_far(by.trim())))
}

fn is_zero(number: &str) -> bool {
    number.trim_end_matches('%').parse::<f32>().is_ok_and(|number| number.abs() < 0.01)
}

/// What stands in the brackets of a function whose name begins so.
fn within<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = value.split_once(name)?;
    rest.split_once('(')?.1.split(')').next()
}

/// Whether a clip leaves nothing.
fn cuts_all(value: &str) -> bool {
    let from_each_side = |by: &str| by.trim_end_matches('%').parse::<f32>().is_ok_and(|by| by >= 50.0);
    let inset = within(value, "inset").and_then(|by| by.split_whitespace().next());
    inset.is_some_and(|by| by.ends_with('%') && from_each_side(by))
        || within(value, "circle")
            .is_some_and(|radius| radius.split_whitespace().next().is_some_and(is_nothing))
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
    let sheet = without_comments(&sheet.to_ascii_lowercase());
    rules(&sheet).any(|(selectors, said)| is_of_page(selectors) && has_ground(said))
}

/// What sheets of styles say about classes.
#[derive(Debug, Clone, Default)]
pub(super) struct Classes {
    /// Those whose elements are not to be seen.
    gone: HashSet<String>,
    /// Those that lay a ground of their own.
    grounds: HashSet<String>,
}

impl Classes {
    /// Reads a sheet: rules for all readers, and of their selectors those of one class, with or without the name of an element.
    pub(super) fn read(&mut self, sheet: &str) {
        let sheet = without_comments(&sheet.to_ascii_lowercase());
        for (selectors, said) in rules(&sheet) {
            let shown = declared(said).filter(|(name, _)| *name == "display").last();
            let grounds = has_ground(said);
            for class in selectors.split(',').filter_map(class_of) {
                if self.gone.len() + self.grounds.len() >= MAX_CLASSES {
                    return;
                }
                match shown {
                    Some((name, value)) if is_gone(name, value) => drop(self.gone.insert(class.to_owned())),
                    Some(_) => drop(self.gone.remove(class)),
                    None => {}
                }
                if grounds {
                    self.grounds.insert(class.to_owned());
                }
            }
        }
    }

    /// Whether an element of these classes is not to be seen.
    pub(super) fn hide(&self, name: &str, classes: &str) -> bool {
        holds(&self.gone, name, classes)
    }

    /// Whether an element of these classes has a ground of its own.
    pub(super) fn lay_ground(&self, name: &str, classes: &str) -> bool {
        holds(&self.grounds, name, classes)
    }
}

fn holds(known: &HashSet<String>, name: &str, classes: &str) -> bool {
    !known.is_empty()
        && classes
            .to_ascii_lowercase()
            .split_ascii_whitespace()
            .take(MAX_CLASSES_OF_ONE)
            .any(|class| known.contains(&format!(".{class}")) || known.contains(&format!("{name}.{class}")))
}

/// A selector of one class: `.card`, `p.card`.
fn class_of(selector: &str) -> Option<&str> {
    let selector = selector.trim();
    let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
    let (name, class) = selector.split_once('.')?;
    (is_name(name) && !class.is_empty() && is_name(class)).then_some(selector)
}

/// The rules of a sheet that hold for all readers: selectors and declarations.
fn rules(sheet: &str) -> impl Iterator<Item = (&str, &str)> {
    let (mut depth, mut outer) = (0_usize, "");
    sheet.split_inclusive(['{', '}']).filter_map(move |piece| {
        let said = piece.trim_end_matches(['{', '}']);
        if piece.ends_with('{') {
            outer = if depth == 0 { said } else { outer };
            depth += 1;
            return None;
        }
        let found = (depth == 1).then_some((outer.rsplit([';', '>', '/']).next().unwrap_or_default(), said));
        depth = depth.saturating_sub(1);
        found
    })
}

/// Whether a rule is one for the whole page.
fn is_of_page(selectors: &str) -> bool {
    selectors.split(',').any(|selector| matches!(selector.trim(), "body" | "html"))
}

/// Whether these declarations lay another ground than a white one.
fn has_ground(said: &str) -> bool {
    let mut grounds = declared(said).filter(|(name, _)| matches!(*name, "background" | "background-color"));
    grounds.any(|(_, value)| !ground_of(value, Some(WHITE)).is_some_and(|ground| is_like(ground, WHITE)))
}

fn colour_of(value: &str, around: Option<Paint>) -> Option<Paint> {
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

/// Zero, in whatever unit, or next to it.
fn is_nothing(value: &str) -> bool {
    let end = value.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(value.len());
    value[..end].parse::<f32>().is_ok_and(|number| number < 0.01)
}

/// Letters of one point are too small to be read.
const MIN_PIXELS: f32 = 1.34;

/// How many pixels a unit of length has (CSS Values and Units Module Level 4, sections 5 and 6), at the size that texts have usually,
/// in a usual window.
fn pixels(unit: &str) -> f32 {
    match unit {
        "em" | "rem" | "ic" | "pc" => 16.0,
        "ex" | "ch" | "vw" | "vh" | "vi" | "vb" | "vmin" | "vmax" => 8.0,
        "%" => 0.16,
        "pt" => 4.0 / 3.0,
        "in" => 96.0,
        "cm" => 37.8,
        "mm" => 3.78,
        "q" => 0.945,
        _ => 1.0,
    }
}

/// Red, green and blue, each from 0 to 255.
type Rgb = [f32; 3];

const WHITE: Rgb = [255.0; 3];

/// Names of colours that nobody tells from white.
const NEARLY_WHITE: [(&str, Rgb); 9] = [
    ("snow", [255.0, 250.0, 250.0]),
    ("ghostwhite", [248.0, 248.0, 255.0]),
    ("ivory", [255.0, 255.0, 240.0]),
    ("mintcream", [245.0, 255.0, 250.0]),
    ("azure", [240.0, 255.0, 255.0]),
    ("aliceblue", [240.0, 248.0, 255.0]),
    ("floralwhite", [255.0, 250.0, 240.0]),
    ("whitesmoke", [245.0, 245.0, 245.0]),
    ("seashell", [255.0, 245.0, 238.0]),
];

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
    one.iter().zip(other).all(|(one, other)| (one - other).abs() <= 16.0)
}

fn paint(colour: &str) -> Option<Paint> {
    let colour = colour.trim().to_ascii_lowercase();
    if let Some(hex) = colour.strip_prefix('#') {
        return hexadecimal(hex);
    }
    if let Some(parts) = colour.strip_prefix("rgb(").or_else(|| colour.strip_prefix("rgba(")) {
        return numbers(parts.trim_end_matches(')'));
    }
    if let Some(parts) = colour.strip_prefix("hsl(").or_else(|| colour.strip_prefix("hsla(")) {
        return shades(parts.trim_end_matches(')'));
    }
    if let Some((_, rgb)) = NEARLY_WHITE.iter().find(|(name, _)| *name == colour) {
        return Some(Paint::solid(*rgb));
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

/// `0, 0%, 100%` or `0deg 0% 100%`, and the same with an alpha.
fn shades(parts: &str) -> Option<Paint> {
    let mut parts = parts.split([',', ' ', '/']).filter(|part| !part.is_empty());
    let hue = parts.next()?.trim_end_matches("deg").parse::<f32>().ok().filter(|hue| hue.is_finite())?;
    let (saturation, light) = (number(parts.next()?, 1.0)?, number(parts.next()?, 1.0)?);
    let reach = saturation.clamp(0.0, 1.0) * light.min(1.0 - light);
    // CSS Color Module Level 4, section 7.1.
    let part = |at: f32| {
        let step = (at + hue / 30.0).rem_euclid(12.0);
        255.0 * (light - reach * (step - 3.0).min(9.0 - step).clamp(-1.0, 1.0))
    };
    let alpha = parts.next().and_then(|part| number(part, 1.0)).unwrap_or(1.0);
    Some(Paint { rgb: [part(0.0), part(8.0), part(4.0)], alpha })
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
        let look = look(style, Letters::default());
        look.gone || look.letters.hide()
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
            "height:0;overflow:hidden",
            "line-height:0;overflow:hidden",
            "overflow: hidden; width: 0px; white-space: nowrap",
            "font:0/0 a",
            "font: 400 0px Arial",
            "font-size:.01pt",
            "font-size:1pt",
            "font-size:.05rem",
            "font: .02em/1 Arial",
            "font-size:1%",
            "position:absolute;left:-1000px",
            "position:absolute;top:-5000px",
            "text-indent:-100em",
            "transform:scale(0)",
            "transform:rotate(9deg) scale3d(0, 0, 1)",
            "transform:translateX(-9999px)",
            "clip-path:inset(100%)",
            "clip-path:circle(0)",
            "display:/**/none",
            "filter:opacity(0)",
            "color:snow",
            "color:hsl(0,0%,100%)",
            "color:hsla(240 100% 99% / 1)",
            "color:#ffffffff",
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
            "height:0",
            "line-height:0",
            "overflow:hidden",
            "height:20px;overflow:hidden",
            "font:400 14px/1.5 Arial",
            "font:bold 1em Arial",
            "font-size:0.875rem;line-height:1.25rem",
            "font:400 .8rem/1 sans-serif",
            "font: 400 14px / 1 Arial",
            "font-size:1",
            "font-size:.95vw",
            "font-size:.9pc",
            "font-size:.15in",
            "font-size:70%",
            "font-size:calc(1rem + 1px)",
            "margin-left:-36pt;text-indent:-18.0pt",
            "transform:scale(1.05)",
            "transform:translate(-50%, -50%)",
            "clip-path:inset(0 0 10% 0)",
            "color:hsl(0,0%,50%)",
            "color:silver",
            "display:none*/;display:block /*",
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
