//! Names of files relative to the root of a transfer, valid by construction (XFER-3).

use std::cmp::Ordering;
use std::fmt;

use thiserror::Error;

/// Longest component in bytes (NAME_MAX of every common Linux file system).
pub const MAX_COMPONENT_BYTES: usize = 255;
/// Longest path in bytes (PATH_MAX).
pub const MAX_PATH_BYTES: usize = 4096;
/// Most components of a path. It bounds the directory descriptors that a walk holds open.
pub const MAX_COMPONENTS: usize = 256;
/// The name at the top of the target directory that the receiver keeps for itself.
pub const RESERVED_NAME: &[u8] = b".wirehaul";

/// The rule that a path broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum PathError {
    /// No bytes at all.
    #[error("the path is empty")]
    Empty,
    /// Starts with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// `a//b` or a trailing `/`.
    #[error("a component of the path is empty")]
    EmptyComponent,
    /// A component is `.` or `..`.
    #[error("a component of the path is `.` or `..`")]
    DotComponent,
    /// A NUL byte, which no file system can store.
    #[error("the path holds a NUL byte")]
    Nul,
    /// A component is longer than [`MAX_COMPONENT_BYTES`].
    #[error("a component of the path is longer than 255 bytes")]
    ComponentTooLong,
    /// The path is longer than [`MAX_PATH_BYTES`].
    #[error("the path is longer than 4096 bytes")]
    TooLong,
    /// The path has more than [`MAX_COMPONENTS`] components.
    #[error("the path has more than 256 components")]
    TooDeep,
    /// The first component is `.wirehaul`.
    #[error("the name `.wirehaul` at the top is reserved for partial transfers")]
    Reserved,
}

/// A relative path: components joined by `/`, each one a plain name.
///
/// Holding one proves that it is not empty, not absolute, has no empty, `.` or `..` component, no NUL, keeps the
/// length limits of this module, and does not start with `.wirehaul`. Names are bytes and need not be UTF-8. The order
/// is component-wise, so a directory sorts right before everything below it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelPath(Box<[u8]>);

impl RelPath {
    /// Checks `bytes` against every rule.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        validate(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The path as bytes, components joined by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components from the top down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/')
    }
}

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Escaped(&self.0))
    }
}

/// Bytes of a name for people: UTF-8 as it is, except that control characters, backslashes and bytes that are not
/// UTF-8 are escaped, so that a hostile name cannot drive a terminal.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if is_hidden(character) {
                    write!(f, "{}", character.escape_unicode())?;
                } else if character == '\\' {
                    f.write_str("\\\\")?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character drives a terminal, or reorders or hides text (bidirectional overrides, zero-width joiners).
pub(super) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Component-wise order of two paths: as bytes, with `/` below every other byte.
pub(super) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    // No name holds a NUL, so 0 is free to stand for the separator and for nothing else.
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    match (left.get(common), right.get(common)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => rank(a).cmp(&rank(b)),
    }
}

/// Checks `path` against every rule of [`RelPath`].
pub(super) fn validate(path: &[u8]) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(PathError::TooLong);
    }
    if path.starts_with(b"/") {
        return Err(PathError::Absolute);
    }
    let mut count = 0;
    for component in path.split(|&byte| byte == b'/') {
        validate_component(component)?;
        if count == 0 && component == RESERVED_NAME {
            return Err(PathError::Reserved);
        }
        count += 1;
    }
    if count > MAX_COMPONENTS { Err(PathError::TooDeep) } else { Ok(()) }
}

fn validate_component(component: &[u8]) -> Result<(), PathError> {
    match component {
        b"" => Err(PathError::EmptyComponent),
        b"." | b".." => Err(PathError::DotComponent),
        _ if component.len() > MAX_COMPONENT_BYTES => Err(PathError::ComponentTooLong),
        _ if component.contains(&0) => Err(PathError::Nul),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_refuses_what_it_names() {
        let long_component = vec![b'a'; 256];
        let long_path = [b"ab/".repeat(1366), b"c".to_vec()].concat();
        let deep = [b"a/".repeat(256), b"a".to_vec()].concat();
        let cases: [(&[u8], PathError); 14] = [
            (b"", PathError::Empty),
            (b"/etc/passwd", PathError::Absolute),
            (b"a//b", PathError::EmptyComponent),
            (b"a/", PathError::EmptyComponent),
            (b"..", PathError::DotComponent),
            (b"a/../b", PathError::DotComponent),
            (b"./a", PathError::DotComponent),
            (b"a/.", PathError::DotComponent),
            (b"a\0b", PathError::Nul),
            (&long_component, PathError::ComponentTooLong),
            (&long_path, PathError::TooLong),
            (&deep, PathError::TooDeep),
            (b".wirehaul", PathError::Reserved),
            (b".wirehaul/x.part", PathError::Reserved),
        ];
        for (path, error) in cases {
            assert_eq!(RelPath::new(path), Err(error), "{}", Escaped(path));
        }
    }

    #[test]
    fn names_need_not_be_utf8_and_dots_inside_names_are_fine() {
        for path in [&b"a/\xff\xfe"[..], b"...", b"a/..b", b"sub/.wirehaul", b".wirehaul2", b"a b\n", &[b'a'; 255]] {
            assert_eq!(RelPath::new(path).unwrap().as_bytes(), path);
        }
    }

    #[test]
    fn display_escapes_what_could_drive_a_terminal() {
        let path = RelPath::new(b"a\x1b[2J/\xffb\\\xc3\xa9\xe2\x80\xae").unwrap();
        assert_eq!(path.to_string(), "a\\u{1b}[2J/\\xffb\\\\é\\u{202e}");
    }

    #[test]
    fn a_directory_sorts_right_before_what_is_below_it() {
        let mut paths: Vec<_> =
            ["a.b", "a/b", "a", "a/b/c", "a-", "b"].map(|p| RelPath::new(p.as_bytes()).unwrap()).into();
        paths.sort();
        let names: Vec<_> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a-", "a.b", "b"]);
    }
}
