//! Rust source as far as the structure tests look into it: tokens without comments and literals, and the paths in them.

/// A token of Rust source. Comments, strings and characters leave none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// An identifier or keyword.
    Word(String),
    /// A number, with its suffix.
    Number(String),
    /// `::`
    PathSeparator,
    /// Any other character.
    Mark(char),
}

impl Token {
    /// Whether this is the identifier or keyword `word`.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found == word)
    }

    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// The tokens of `source`.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut rest = source;
    let mut found = Vec::new();
    while let Some(first) = rest.chars().next() {
        let skipped = comment_bytes(rest).or_else(|| literal_bytes(rest));
        let length = match skipped {
            Some(bytes) => bytes,
            None if rest.starts_with("::") => {
                found.push(Token::PathSeparator);
                2
            }
            None if first.is_ascii_digit() => {
                let bytes = number_bytes(rest);
                found.push(Token::Number(rest[..bytes].to_owned()));
                bytes
            }
            None if is_word_part(first) => {
                let bytes = rest.find(|c| !is_word_part(c)).unwrap_or(rest.len());
                found.push(Token::Word(rest[..bytes].to_owned()));
                bytes
            }
            None => {
                if !first.is_whitespace() {
                    found.push(Token::Mark(first));
                }
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    found
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes of the comment at the front of `rest`, if there is one. Block comments nest.
fn comment_bytes(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_u32, 0);
    while at < rest.len() {
        let (step, change) = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth = depth.checked_add_signed(change)?;
        if depth == 0 {
            return Some(at);
        }
    }
    Some(rest.len())
}

/// Bytes of the string or character at the front of `rest`, with its prefix, if there is one.
fn literal_bytes(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let behind = rest.strip_prefix(prefix);
        let raw = prefix.ends_with('r');
        behind.is_some_and(|behind| behind.starts_with('"') || (raw && behind.trim_start_matches('#').starts_with('"')))
    });
    if let Some(prefix) = prefix {
        return Some(prefix.len() + string_bytes(&rest[prefix.len()..], prefix.ends_with('r')));
    }
    let quoted = rest.strip_prefix("b'").or_else(|| rest.strip_prefix('\''))?;
    let prefix = rest.len() - quoted.len();
    let mut characters = quoted.char_indices();
    let (_, first) = characters.next()?;
    if first == '\\' {
        // The character behind the backslash may itself be a quote.
        let end = quoted.char_indices().skip(2).find(|(_, c)| *c == '\'')?.0;
        return Some(prefix + end + 1);
    }
    // Anything but one character and a quote is a lifetime.
    let (end, second) = characters.next()?;
    (second == '\'').then_some(prefix + end + 1)
}

/// Bytes of the string that `text` begins with, hashes and quotes included.
fn string_bytes(text: &str, raw: bool) -> usize {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let body = hashes + 1;
    if raw {
        let end = format!("\"{}", "#".repeat(hashes));
        return text[body..].find(&end).map_or(text.len(), |at| body + at + end.len());
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Bytes of the number at the front of `rest`. A dot belongs to it if a digit follows.
fn number_bytes(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let dot = byte == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !dot && !byte.is_ascii_alphanumeric() && byte != b'_' {
            break;
        }
        at += 1;
    }
    at
}

/// Whether a number is of a floating-point type.
pub fn is_float(number: &str) -> bool {
    let other_radix = ["0x", "0o", "0b"].into_iter().any(|prefix| number.starts_with(prefix));
    let suffix = number.ends_with("f32") || number.ends_with("f64");
    let exponent = number.contains(['e', 'E']) && !number.ends_with("size");
    !other_radix && (suffix || exponent || number.contains('.'))
}

/// The tokens without what is compiled for tests alone: items behind `#[cfg(test)]` or `#[cfg(all(test, ...))]`.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match test_attribute(&tokens[at..]) {
            Some(bytes) => at += bytes + item_tokens(&tokens[at + bytes..]),
            None => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// How many tokens the attribute at the front takes, where it is one that keeps its item for tests.
fn test_attribute(tokens: &[Token]) -> Option<usize> {
    let [Token::Mark('#'), Token::Mark('['), cfg, Token::Mark('('), rest @ ..] = tokens else { return None };
    let for_tests = match rest {
        [first, Token::Mark(')'), ..] => first.is_word("test"),
        [all, Token::Mark('('), first, ..] => all.is_word("all") && first.is_word("test"),
        _ => false,
    };
    (cfg.is_word("cfg") && for_tests).then(|| 1 + group_tokens(&tokens[1..]))
}

/// How many tokens the item at the front takes, with its further attributes.
fn item_tokens(tokens: &[Token]) -> usize {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Mark(';') => return at + 1,
            Token::Mark('{') => return at + group_tokens(&tokens[at..]),
            Token::Mark('[' | '(') => at += group_tokens(&tokens[at..]),
            _ => at += 1,
        }
    }
    at
}

/// How many tokens the bracketed group at the front takes.
fn group_tokens(tokens: &[Token]) -> usize {
    let mut depth = 0_u32;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// Every path in `tokens` that begins with `crate`, `self` or `super`, from the root of the crate, in a file that is the
/// module `module`. Lists in braces give a path each.
pub fn crate_paths(tokens: &[Token], module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let within_path = at > 0 && tokens[at - 1] == Token::PathSeparator;
        at += 1;
        if within_path || tokens.get(at) != Some(&Token::PathSeparator) {
            continue;
        }
        let base = match token.word() {
            Some("crate") => Vec::new(),
            Some("self") => module.to_vec(),
            Some("super") => module.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default(),
            _ => continue,
        };
        at += 1;
        at += read_tree(&tokens[at..], base, &mut found);
    }
    found
}

/// Reads the rest of a path, or a list of them; returns how many tokens that took.
fn read_tree(tokens: &[Token], mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let mut at = 0;
    loop {
        match tokens.get(at) {
            Some(Token::Word(word)) if word == "super" => drop(path.pop()),
            Some(Token::Word(word)) if word == "self" => {}
            Some(Token::Word(word)) => path.push(word.clone()),
            Some(Token::Mark('{')) => {
                let end = at + group_tokens(&tokens[at..]);
                at += 1;
                while at + 1 < end {
                    at += read_tree(&tokens[at..end], path.clone(), found).max(1);
                    // An alias, and the comma.
                    while at + 1 < end && tokens[at] != Token::Mark(',') {
                        at += 1;
                    }
                    at += 1;
                }
                return end;
            }
            _ => {
                found.push(path);
                return at;
            }
        }
        at += 1;
        if tokens.get(at) != Some(&Token::PathSeparator) {
            found.push(path);
            return at;
        }
        at += 1;
    }
}
