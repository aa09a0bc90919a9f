//! Words of many languages as tables beside the code, and how texts are compared with them.

/// The phrases of one kind in a table of lines `kind: phrase; phrase`, folded.
pub(super) fn phrases(table: &'static str, kind: &'static str) -> impl Iterator<Item = String> {
    let of_kind = table.lines().filter_map(move |line| line.strip_prefix(kind)?.strip_prefix(':'));
    of_kind
        .flat_map(|phrases| phrases.split(';'))
        .map(|phrase| folded(phrase.trim()))
        .filter(|phrase| !phrase.is_empty())
}

/// In lower case, without the accents of Latin letters, with single spaces.
pub(super) fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            fold(&mut out, c.to_ascii_lowercase());
        } else {
            c.to_lowercase().for_each(|c| fold(&mut out, c));
        }
    }
    out
}

fn fold(out: &mut String, c: char) {
    if c.is_whitespace() {
        if !out.ends_with(' ') {
            out.push(' ');
        }
    } else if c == 'ß' {
        out.push_str("ss");
    } else if !('\u{300}'..='\u{36f}').contains(&c) {
        out.push(unaccented(c));
    }
}

/// The words of a text, folded; what is no letter and no digit separates them.
pub(super) fn words(text: &str) -> Vec<String> {
    let folded = folded(text);
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn unaccented(c: char) -> char {
    match c {
        '\'' | '’' | 'ʼ' | '`' | '´' => '\'',
        _ if c.is_ascii() => c,
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'ď' | 'đ' => 'd',
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => 'e',
        'ğ' | 'ģ' => 'g',
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'į' | 'ı' => 'i',
        'ķ' => 'k',
        'ļ' | 'ľ' | 'ł' | 'ĺ' => 'l',
        'ñ' | 'ń' | 'ņ' | 'ň' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' => 'o',
        'ŕ' | 'ř' => 'r',
        'ś' | 'š' | 'ş' | 'ș' => 's',
        'ť' | 'ț' | 'ţ' => 't',
        'ù' | 'ú' | 'û' | 'ü' | 'ū' | 'ů' | 'ű' | 'ų' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        'ά' => 'α',
        'έ' => 'ε',
        'ή' => 'η',
        'ί' | 'ϊ' | 'ΐ' => 'ι',
        'ό' => 'ο',
        'ύ' | 'ϋ' | 'ΰ' => 'υ',
        'ώ' => 'ω',
        'ς' => 'σ',
        other => other,
    }
}
