//! A place in a JSON text that moves forward over one value at a time, without recursion.

/// The frame is not an object of the shape that the protocol gives for its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Objects and arrays nested deeper than this are refused.
const MAX_DEPTH: usize = 64;

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => return Some(*byte),
            }
        }
        None
    }

    fn eat(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        if self.peek().is_none() { Ok(()) } else { Err(Malformed) }
    }

    /// Reads an object; `on` must consume the value of the key that it is given.
    pub(super) fn members(
        &mut self,
        mut on: impl FnMut(&mut Self, &'a [u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.eat(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.eat(b':')?;
            on(self, key)?;
            if !self.another(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads an array; `on` must consume one element each time.
    pub(super) fn elements(
        &mut self,
        mut on: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.eat(b'[')?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            on(self)?;
            if !self.another(b']')? {
                return Ok(());
            }
        }
    }

    /// After a value: a comma and another one, or the end.
    fn another(&mut self, end: u8) -> Result<bool, Malformed> {
        let next = self.peek();
        self.at += 1;
        match next {
            Some(b',') => Ok(true),
            Some(byte) if byte == end => Ok(false),
            _ => Err(Malformed),
        }
    }

    /// The raw text between the quotes, escapes and all.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        self.eat(b'"')?;
        let start = self.at;
        loop {
            let rest = self.bytes.get(self.at..).ok_or(Malformed)?;
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or(Malformed)?;
            self.at += found + 1;
            if rest[found] == b'"' {
                return Ok(&self.bytes[start..self.at - 1]);
            }
            self.at += 1;
        }
    }

    /// A whole number from 0 to 2^53, the largest that JSON readers agree on.
    pub(super) fn integer(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        self.peek();
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let fraction = matches!(self.bytes.get(self.at), Some(b'.' | b'e' | b'E'));
        if self.at == start || fraction || value > 1 << 53 { Err(Malformed) } else { Ok(value) }
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.peek() {
            Some(b't') => self.word(b"true").map(|()| true),
            _ => self.word(b"false").map(|()| false),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        let rest = self.bytes.get(self.at..).ok_or(Malformed)?;
        if !rest.starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes over any value.
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        let mut depth = 0usize;
        loop {
            match self.peek().ok_or(Malformed)? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' if depth == MAX_DEPTH => return Err(Malformed),
                b'{' | b'[' => {
                    self.at += 1;
                    depth += 1;
                }
                b'}' | b']' if depth > 0 => {
                    self.at += 1;
                    depth -= 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                b'-' | b'0'..=b'9' => self.number(),
                _ => return Err(Malformed),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn number(&mut self) {
        while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }
}
