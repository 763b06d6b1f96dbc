//! Text for people, in lines that a terminal has room for.

use std::fmt::Write as _;

/// Characters of a line.
pub(super) const WIDTH: usize = 80;

/// Adds `words` behind `column` characters of the line, goes on behind `indent` on the next ones, and ends the line.
pub(super) fn push_wrapped(text: &mut String, words: &str, column: usize, indent: usize) {
    let mut column = column;
    let mut is_first = true;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if !is_first && column + 1 + length > WIDTH {
            let _ = write!(text, "\n{}", " ".repeat(indent));
            column = indent;
        } else if !is_first {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
        is_first = false;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_in_order_and_long_ones_stand_alone() {
        let mut text = String::from("12345");
        let long = "x".repeat(100);
        push_wrapped(&mut text, &format!("one {long} two"), 5, 2);
        assert_eq!(text, format!("12345one\n  {long}\n  two\n"));
        let mut empty = String::new();
        push_wrapped(&mut empty, "", 0, 0);
        assert_eq!(empty, "\n");
    }
}
