//! Values of secrets, on their way from a person to the API server.

use std::{
    fmt,
    io::{self, Read},
};

use zeroize::Zeroizing;

/// More than any Secret holds, so that one byte more shows that something is too large.
pub(super) const LARGEST: usize = super::limits::SECRET_BYTES;

/// A value: wiped when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Value(Zeroizing<Vec<u8>>);

impl Value {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// All that there is to read, or `None` where that is more than a Secret holds.
    pub(super) fn read(source: impl Read) -> io::Result<Option<Self>> {
        // A vector that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 2));
        let limit = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
        source.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > LARGEST {
            return Ok(None);
        }
        Ok(Some(Self::new(bytes.to_vec())))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The length, as it is stored.
    pub(super) fn size(&self) -> u64 {
        self.0.len() as u64
    }

    /// Without the line break that a program wrote behind it.
    pub(super) fn trim_line_end(&mut self) {
        let trimmed = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        let length = trimmed.strip_suffix(b"\r").unwrap_or(trimmed).len();
        self.0.truncate(length);
    }

    /// As text, if it is UTF-8.
    pub(super) fn text(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_shown() {
        assert_eq!(format!("{:?}", Value::from("hunter2")), "Value");
    }

    #[test]
    fn what_is_too_large_is_not_read_to_its_end() {
        let all = Value::read(io::repeat(b'x').take(LARGEST as u64)).unwrap();
        assert_eq!(all.map(|value| value.len()), Some(LARGEST));
        assert_eq!(Value::read(io::repeat(b'x')).unwrap(), None);
    }
}
