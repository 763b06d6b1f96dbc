//! As much of a shell's grammar as command lines in documents need: words, quotes, comments, and where a command ends.

/// The simple commands of a script, as words. Variables and substitutions stay as they are written.
pub fn commands(script: &str) -> Vec<Vec<String>> {
    let mut reader = Reader { commands: vec![Vec::new()], word: None };
    let mut rest = script.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('\n') | None => {}
                Some(escaped) => reader.push(escaped),
            },
            '\'' | '"' => {
                reader.push_nothing();
                rest.by_ref().take_while(|next| *next != c).for_each(|next| reader.push(next));
            }
            '#' if reader.word.is_none() => while rest.next_if(|next| *next != '\n').is_some() {},
            '$' if rest.peek() == Some(&'(') => {
                // What is substituted is a script of its own; here it is one word.
                let mut depth = 0;
                reader.push('$');
                for next in rest.by_ref() {
                    depth += i32::from(next == '(') - i32::from(next == ')');
                    reader.push(next);
                    if depth == 0 {
                        break;
                    }
                }
            }
            '>' | '<' => {
                reader.end_redirected();
                while rest.next_if(|next| matches!(next, '>' | '<' | '&' | ' ')).is_some() {}
                while rest.next_if(|next| !next.is_whitespace() && !matches!(next, ';' | '|' | '&')).is_some() {}
            }
            '\n' | ';' | '|' | '&' | '(' | ')' => reader.end_command(),
            c if c.is_whitespace() => reader.end_word(),
            c => reader.push(c),
        }
    }
    reader.end_command();
    reader.commands.retain(|command| !command.is_empty());
    reader.commands
}

struct Reader {
    commands: Vec<Vec<String>>,
    word: Option<String>,
}

impl Reader {
    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn push_nothing(&mut self) {
        self.word.get_or_insert_default();
    }

    fn end_word(&mut self) {
        let word = self.word.take();
        self.commands.last_mut().unwrap().extend(word);
    }

    /// The word before `>` is the number of what is redirected, if it is a number.
    fn end_redirected(&mut self) {
        if self.word.as_ref().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit())) {
            self.word = None;
        }
        self.end_word();
    }

    fn end_command(&mut self) {
        self.end_word();
        self.commands.push(Vec::new());
    }
}

/// The arguments that a command gives to `program`, if that is what it runs: `sudo`, variables and keywords may stand before it.
pub fn arguments_of<'a>(command: &'a [String], program: &str) -> Option<&'a [String]> {
    const BEFORE: &[&str] = &["sudo", "time", "exec", "do", "then", "if", "while", "until", "!"];
    let is_assignment =
        |word: &str| word.split_once('=').is_some_and(|(name, _)| !name.starts_with('-') && !name.contains('/'));
    let mut words = command;
    while let [first, rest @ ..] = words {
        if first == program {
            return Some(rest);
        }
        words = match rest {
            [netns, exec, _, rest @ ..] if first == "ip" && netns == "netns" && exec == "exec" => rest,
            _ if BEFORE.contains(&first.as_str()) || is_assignment(first) => rest,
            _ => return None,
        };
    }
    None
}

#[test]
fn scripts_fall_into_commands() {
    let script = "a 'b c' \"d\"e # f\nX=1 sudo w r --json > out 2>&1 &\nuntil t=$(head -1 e | grep x); do w s; done\nw a\\\n b | c <f && w d";
    let commands = commands(script);
    let lines: Vec<_> = commands.iter().map(|words| words.join("_")).collect();
    let expected =
        ["a_b c_de", "X=1_sudo_w_r_--json", "until_t=$(head -1 e | grep x)", "do_w_s", "done", "w_a_b", "c", "w_d"];
    assert_eq!(lines, expected);
    let arguments: Vec<_> = commands.iter().filter_map(|command| arguments_of(command, "w")).collect();
    assert_eq!(arguments.iter().map(|words| words.join(" ")).collect::<Vec<_>>(), ["r --json", "s", "a b", "d"]);
}
