//! Owns the syntax of the command line: splits it into options, their values and plain words. It does not know any options;
//! `args.rs` decides what they mean.

use std::ffi::OsString;

/// One item of the command line.
pub enum Item {
    /// An option with its dashes, such as `-l` or `--listen`.
    Option(String),
    /// Anything else: the name of a command, or an argument of one.
    Word(OsString),
}

pub struct Parser<I> {
    arguments: I,
    state: State,
}

/// The parser's position in the command line.
enum State {
    /// Nothing: the next argument is a new one.
    Fresh,
    /// Inside `-1q` or `-l1601`: what follows the letter that was returned last. It is the option's value if the
    /// option takes one, and more options if it does not.
    Letters(String),
    /// Behind `--listen=`: a value that has not been asked for yet.
    Value(String),
    /// Behind `--`: everything that follows is a word.
    WordsOnly,
}

impl<I: Iterator<Item = OsString>> Parser<I> {
    pub fn new(arguments: I) -> Parser<I> {
        Parser { arguments, state: State::Fresh }
    }

    pub fn next(&mut self) -> Result<Option<Item>, String> {
        match std::mem::replace(&mut self.state, State::Fresh) {
            State::Letters(letters) => return Ok(Some(self.letter(&letters))),
            State::WordsOnly => {
                self.state = State::WordsOnly;
                return Ok(self.arguments.next().map(Item::Word));
            }
            State::Value(_) | State::Fresh => {}
        }
        let argument = match self.arguments.next() {
            Some(argument) => argument,
            None => return Ok(None),
        };
        if argument == "--" {
            self.state = State::WordsOnly;
            return self.next();
        }
        if argument == "-" || !argument.to_string_lossy().starts_with('-') {
            return Ok(Some(Item::Word(argument)));
        }
        let option = argument
            .into_string()
            .map_err(|raw| format!("option {raw:?} is not valid UTF-8; see single-server --help"))?;
        if !option.starts_with("--") {
            return Ok(Some(self.letter(&option[1..])));
        }
        if let Some((option, value)) = option.split_once('=') {
            self.state = State::Value(value.to_string());
            return Ok(Some(Item::Option(option.to_string())));
        }
        Ok(Some(Item::Option(option)))
    }

    /// Takes the first of these letters as an option. There is at least one.
    fn letter(&mut self, letters: &str) -> Item {
        let mut rest = letters.chars();
        let option: String = ['-'].into_iter().chain(rest.next()).collect();
        if !rest.as_str().is_empty() {
            self.state = State::Letters(rest.as_str().to_string());
        }
        Item::Option(option)
    }

    /// The value of the option that was returned last: attached to it, or the next argument.
    pub fn value(&mut self) -> Option<OsString> {
        match std::mem::replace(&mut self.state, State::Fresh) {
            State::Letters(letters) => Some(letters.strip_prefix('=').unwrap_or(&letters).into()),
            State::Value(value) => Some(value.into()),
            State::WordsOnly => {
                self.state = State::WordsOnly;
                self.arguments.next()
            }
            State::Fresh => self.arguments.next(),
        }
    }

    /// Whether a value is attached to the option that was returned last and has not been asked for.
    pub fn has_unused_value(&self) -> bool {
        matches!(self.state, State::Value(_))
    }

    /// All remaining arguments, unparsed.
    pub fn rest(&mut self) -> impl Iterator<Item = OsString> + '_ {
        self.arguments.by_ref()
    }

    /// Whether `--` has been seen.
    pub fn is_words_only(&self) -> bool {
        matches!(self.state, State::WordsOnly)
    }
}
