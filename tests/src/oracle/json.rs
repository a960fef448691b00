//! A recursive JSON reader over `char`s that forgets nothing a strict contract may ask about.
//!
//! An ordinary JSON value type loses what the contract judges: repeated keys, `-0` against `0`, a
//! number's spelling, and whether a string held half of a surrogate pair. This one keeps them, and
//! makes no attempt to be fast.

/// How many containers may be open at once; the record's own object is the first.
const NESTING_MAX: usize = 32;

/// A string after unescaping.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    /// The characters, with U+FFFD in place of each lone surrogate.
    pub(super) text: String,
    /// Whether an escape named half of a surrogate pair without its other half.
    pub(super) lone_surrogate: bool,
}

/// A JSON value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, spelled as in the document.
    Number(String),
    /// A string.
    Text(Text),
    /// An array; no field of either contract is one, so that only its kind matters.
    Array,
    /// The members in order, repetitions included.
    Object(Vec<(Text, Json)>),
}

/// Reads one document with nothing but whitespace around it; `None` when the text is not JSON or
/// nests too deeply.
pub(super) fn parse(document: &str) -> Option<Json> {
    let mut reader = Reader { chars: document.chars().collect(), at: 0, open: 0 };
    reader.skip_whitespace();
    let value = reader.value()?;
    reader.skip_whitespace();
    (reader.at == reader.chars.len()).then_some(value)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    open: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let taken = self.peek()?;
        self.at += 1;
        Some(taken)
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        (self.take()? == wanted).then_some(())
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Option<Json> {
        match self.peek()? {
            '{' => self.nested(Self::object),
            '[' => self.nested(Self::array),
            '"' => Some(Json::Text(self.text()?)),
            '-' | '0'..='9' => self.number(),
            't' => self.word("true", Json::Bool(true)),
            'f' => self.word("false", Json::Bool(false)),
            'n' => self.word("null", Json::Null),
            _ => None,
        }
    }

    fn nested(&mut self, container: fn(&mut Self) -> Option<Json>) -> Option<Json> {
        self.open += 1;
        if self.open > NESTING_MAX {
            return None;
        }
        let value = container(self)?;
        self.open -= 1;
        Some(value)
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        for letter in word.chars() {
            self.expect(letter)?;
        }
        Some(value)
    }

    fn object(&mut self) -> Option<Json> {
        let mut members = Vec::new();
        self.expect('{')?;
        self.skip_whitespace();
        if self.peek()? == '}' {
            self.take()?;
            return Some(Json::Object(members));
        }
        loop {
            self.skip_whitespace();
            let key = self.text()?;
            self.skip_whitespace();
            self.expect(':')?;
            self.skip_whitespace();
            let value = self.value()?;
            members.push((key, value));
            self.skip_whitespace();
            match self.take()? {
                ',' => {}
                '}' => return Some(Json::Object(members)),
                _ => return None,
            }
        }
    }

    fn array(&mut self) -> Option<Json> {
        self.expect('[')?;
        self.skip_whitespace();
        if self.peek()? == ']' {
            self.take()?;
            return Some(Json::Array);
        }
        loop {
            self.skip_whitespace();
            self.value()?;
            self.skip_whitespace();
            match self.take()? {
                ',' => {}
                ']' => return Some(Json::Array),
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.at;
        if self.peek()? == '-' {
            self.take()?;
        }
        if self.peek()? == '0' {
            self.take()?;
        } else {
            self.digits()?;
        }
        if self.peek() == Some('.') {
            self.take()?;
            self.digits()?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.take()?;
            if matches!(self.peek(), Some('+' | '-')) {
                self.take()?;
            }
            self.digits()?;
        }
        Some(Json::Number(self.chars[start..self.at].iter().collect()))
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some('0'..='9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn text(&mut self) -> Option<Text> {
        self.expect('"')?;
        // As UTF-16, because that is what the escapes speak: pairs are put together, and lone
        // halves found, at the end.
        let mut units: Vec<u16> = Vec::new();
        loop {
            match self.take()? {
                '"' => break,
                '\\' => units.push(self.escape()?),
                control if control < ' ' => return None,
                plain => units.extend_from_slice(plain.encode_utf16(&mut [0; 2])),
            }
        }
        let lone_surrogate =
            char::decode_utf16(units.iter().copied()).any(|decoded| decoded.is_err());
        Some(Text { text: String::from_utf16_lossy(&units), lone_surrogate })
    }

    fn escape(&mut self) -> Option<u16> {
        let unit = match self.take()? {
            plain @ ('"' | '\\' | '/') => plain,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.four_hex_digits(),
            _ => return None,
        };
        u16::try_from(u32::from(unit)).ok()
    }

    fn four_hex_digits(&mut self) -> Option<u16> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + self.take()?.to_digit(16)?;
        }
        u16::try_from(unit).ok()
    }
}
